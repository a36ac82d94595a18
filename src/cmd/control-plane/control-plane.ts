/**
 * The parts of a control plane, in the order in which they start and the reverse in which they stop.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "#component-base/clock.ts";
import {
  ensurePki,
  findKeyPair,
  issueClientCertificate,
  issueServerCertificate,
  type Pki,
  renewalDueMs,
  writeKeyPair,
} from "#component-base/certificates.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { type ApiServer, loopbackUser } from "#apiserver/api-server.ts";
import { addressPlan } from "#cmd/machine/address-plan.ts";
import type { Cluster, MachineContext } from "#cmd/machine/clusters.ts";
import { missingTools } from "#cmd/machine/doctor.ts";
import { Guardian } from "#cmd/machine/guardian.ts";
import { setUpMachineNetwork } from "#cmd/machine/machine-network.ts";
import { type NodePlan, nodePlans } from "#cmd/machine/node-plan.ts";
import { claimSlot } from "#cmd/machine/slot-claim.ts";
import { nodeProcess } from "#cmd/machine/node-process.ts";
import type { RunPermit } from "#cmd/machine/run-permit.ts";
import type { StopMode, SupervisionServer } from "#cmd/machine/supervision.ts";
import { ensureClusterObjects, networkGroup } from "./cluster-objects.ts";
import { openClusterStore, startApiServer } from "./api-server.ts";
import { startManagers } from "./managers.ts";

/** What a control plane works with. */
export type ControlPlaneOptions = {
  readonly cluster: Cluster;
  readonly context: MachineContext;
  readonly supervision: SupervisionServer;
  readonly permit: RunPermit | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** A running control plane. */
export class ControlPlane {
  readonly #options: ControlPlaneOptions;
  readonly #abort = new AbortController();
  readonly #guardians: Guardian[] = [];
  readonly #parts: Pick<Service, "stop">[] = [];

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
  }

  /** Resolves when the API is served and all nodes are ready. */
  async start(): Promise<void> {
    const { cluster, context, supervision, clock, logger } = this.#options;
    const hasNodes = context.isRoot;
    if (hasNodes) refuseWithoutTools();
    if (hasNodes) await claimSlot(cluster);
    supervision.stage({ stage: "API server", state: "begin" });
    const { pki, nodes } = await this.#prepareKeys(hasNodes);
    if (hasNodes) await setUpMachineNetwork(cluster);
    // Nodes load their code while the API server starts.
    const nodesReady = hasNodes ? nodes.map((node) => this.#startNode(node)) : [];
    for (const ready of nodesReady) ready.catch(() => {}); // awaited below
    const store = await openClusterStore(cluster, { clock, logger });
    this.#parts.push({ stop: () => store.close() });
    const server = await startApiServer({ cluster, pki, store, hasNodes, clock, logger, signal: this.#abort.signal });
    this.#parts.push(server);
    await ensureClusterObjects(server.client(loopbackUser), cluster);
    supervision.stage({ stage: "API server", state: "done", detail: `https://127.0.0.1:${cluster.record.apiPort}` });
    await this.#startManagers(server, pki);
    const title = nodes.length === 1 ? `Node ${nodes[0]?.name}` : `${nodes.length} nodes`;
    if (hasNodes) supervision.stage({ stage: title, state: "begin" });
    await Promise.all(nodesReady);
    if (hasNodes) supervision.stage({ stage: title, state: "done" });
  }

  /** Stops nodes (with "containers" what they run too), then everything else. */
  async stop(mode: StopMode): Promise<void> {
    if (mode === "containers") await Promise.all(this.#guardians.map((guardian) => guardian.stop(mode)));
    else for (const guardian of this.#guardians) await guardian.stop();
    this.#abort.abort(new Error("the control plane stops"));
    for (const part of this.#parts.toReversed()) await part.stop();
  }

  async #startManagers(server: ApiServer, pki: Pki): Promise<void> {
    const { cluster, clock, logger } = this.#options;
    this.#parts.push(await startManagers({ server, cluster, ca: pki.ca, clock, logger, signal: this.#abort.signal }));
  }

  /** Keys of the cluster, of its administrator and its nodes; what is missing or expiring is made. */
  async #prepareKeys(hasNodes: boolean): Promise<{ readonly pki: Pki; readonly nodes: readonly NodePlan[] }> {
    const { cluster, clock } = this.#options;
    const { layout, record } = cluster;
    const plan = addressPlan(record.slot);
    const names = [
      "kubernetes",
      "kubernetes.default",
      "kubernetes.default.svc",
      "kubernetes.default.svc.cluster.local",
      "localhost",
    ];
    const serverAddresses = ["127.0.0.1", plan.kubernetesService, plan.controlPlane, plan.nodePortLoopback, ...names];
    const pki = await ensurePki(layout.pki, { serverAddresses: [...new Set(serverAddresses)], clock });
    await ensureClient(layout.pki, "admin", {
      pki,
      commonName: "kubernetes-admin",
      organizations: ["system:masters"],
      clock,
    });
    const nodes = hasNodes ? nodePlans(cluster) : [];
    mkdirSync(join(layout.pki, "nodes"), { recursive: true, mode: 0o700 });
    for (const node of nodes) {
      const folder = join(layout.pki, "nodes");
      await ensureClient(folder, node.name, {
        pki,
        commonName: `system:node:${node.name}`,
        organizations: ["system:nodes"],
        clock,
      });
      await ensureClient(folder, `${node.name}-network`, {
        pki,
        commonName: "system:kube-proxy",
        organizations: [networkGroup],
        clock,
      });
      await ensureServer(folder, `${node.name}-server`, { pki, node, clock });
    }
    return { pki, nodes };
  }

  async #startNode(node: NodePlan): Promise<void> {
    const { cluster, context, permit, clock, logger } = this.#options;
    const guardian = new Guardian({
      socket: node.layout.socket,
      process: () => nodeProcess({ context, cluster, permit }, node),
      permit,
      clock,
      logger,
    });
    this.#guardians.push(guardian);
    await guardian.ensure();
  }
}

function refuseWithoutTools(): void {
  const missing = missingTools();
  if (missing !== undefined) throw new Error(missing);
}

type ClientOptions = {
  readonly pki: Pki;
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly clock: Clock;
};

async function ensureClient(folder: string, name: string, { pki, clock, ...subject }: ClientOptions): Promise<void> {
  const known = await findKeyPair(folder, name);
  if (known && renewalDueMs(known.certificate) > clock.now()) return;
  await writeKeyPair(folder, name, issueClientCertificate(pki.ca, { ...subject, clock }));
}

type ServerOptions = { readonly pki: Pki; readonly node: NodePlan; readonly clock: Clock };

async function ensureServer(folder: string, name: string, { pki, node, clock }: ServerOptions): Promise<void> {
  const known = await findKeyPair(folder, name);
  if (known && renewalDueMs(known.certificate) > clock.now()) return;
  const subject = {
    commonName: `system:node:${node.name}`,
    organizations: ["system:nodes"],
    addresses: [node.address, node.name, "127.0.0.1"],
  };
  await writeKeyPair(folder, name, issueServerCertificate(pki.ca, { ...subject, clock }));
}
