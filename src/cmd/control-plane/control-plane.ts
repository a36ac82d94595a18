/**
 * The parts of a control plane, in the order in which they start and the reverse in which they stop.
 */
import type { Pki } from "#component-base/certificates.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { type ApiServer, loopbackUser } from "#apiserver/api-server.ts";
import { hasEventing } from "#cmd/machine/cluster-record.ts";
import type { Cluster, MachineContext } from "#cmd/machine/clusters.ts";
import { missingTools } from "#cmd/machine/doctor.ts";
import { Guardian } from "#cmd/machine/guardian.ts";
import { hangPatienceMs } from "#cmd/machine/hang-watch.ts";
import { setUpMachineNetwork } from "#cmd/machine/machine-network.ts";
import { type NodePlan, nodePlans } from "#cmd/machine/node-plan.ts";
import { claimSlot } from "#cmd/machine/slot-claim.ts";
import { nodeProcess } from "#cmd/machine/node-process.ts";
import type { RunPermit } from "#cmd/machine/run-permit.ts";
import type { StopMode, SupervisionServer } from "#cmd/machine/supervision.ts";
import { renewContext } from "#cmd/machine/context.ts";
import { CertificateRenewal } from "./certificate-renewal.ts";
import { type ClusterKeys, ensureClusterKeys } from "./cluster-keys.ts";
import { ensureClusterObjects } from "./cluster-objects.ts";
import { openClusterStore, startApiServer } from "./api-server.ts";
import { DispatcherPart } from "./dispatcher-part.ts";
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
  #dispatcher: DispatcherPart | undefined;

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
  }

  /** Resolves when the API is served and all nodes are ready. */
  async start(): Promise<void> {
    const { cluster, context, supervision, clock, logger } = this.#options;
    if (context.isRoot) refuseWithoutTools();
    await claimSlot(cluster);
    supervision.stage({ stage: "API server", state: "begin" });
    const nodes = nodePlans(cluster);
    const renewal = await this.#prepareKeys(nodes);
    if (context.isRoot) await setUpMachineNetwork(cluster);
    // Nodes load their code while the API server starts.
    const nodesReady = nodes.map((node) => this.#startNode(node));
    for (const ready of nodesReady) ready.catch(() => {}); // awaited below
    const store = await openClusterStore(cluster, { clock, logger });
    this.#parts.push({ stop: () => store.close() });
    const keys = () => renewal.keys;
    const server = await startApiServer({ cluster, keys, store, clock, logger, signal: this.#abort.signal });
    this.#parts.push(server, renewal);
    renewal.start((serving) => server.renewServing(serving));
    const dispatcher = hasEventing(cluster.record) ? this.#makeDispatcher() : undefined;
    void dispatcher?.resume(); // never rejects
    await ensureClusterObjects(server.client(loopbackUser), cluster);
    supervision.stage({ stage: "API server", state: "done", detail: `https://127.0.0.1:${cluster.record.apiPort}` });
    await this.#startManagers(server, keys().pki, dispatcher);
    const title = nodes.length === 1 ? `Node ${nodes[0]?.name}` : `${nodes.length} nodes`;
    supervision.stage({ stage: title, state: "begin" });
    await Promise.all(nodesReady);
    supervision.stage({ stage: title, state: "done" });
    this.#startRegistry(server);
  }

  /** Stops nodes (with "containers" what they run too), then everything else. */
  async stop(mode: StopMode): Promise<void> {
    const watched = [...this.#guardians, ...(this.#dispatcher ? [this.#dispatcher] : [])];
    await Promise.all(watched.map((one) => one.stop(mode === "containers" ? mode : undefined)));
    this.#abort.abort(new Error("the control plane stops"));
    for (const part of this.#parts.toReversed()) await part.stop();
  }

  #makeDispatcher(): DispatcherPart {
    const { cluster, context, permit, clock, logger } = this.#options;
    this.#dispatcher = new DispatcherPart({ cluster, context, permit, clock, logger });
    return this.#dispatcher;
  }

  async #startManagers(server: ApiServer, pki: Pki, dispatcher: DispatcherPart | undefined): Promise<void> {
    const { cluster, context, clock, logger } = this.#options;
    const { environment } = context;
    const { signal } = this.#abort;
    const eventingParts = dispatcher ? [dispatcher.asPart(server.client(loopbackUser), pki.ca.certificate)] : [];
    const options = { server, cluster, ca: pki.ca, environment, eventingParts, clock, logger, signal };
    this.#parts.push(await startManagers(options));
  }

  // Nobody waits for it.
  #startRegistry(server: ApiServer): void {
    const { cluster, clock, logger } = this.#options;
    const starting = import("./registry-part.ts").then(async ({ RegistryPart }) => {
      const registry = new RegistryPart({ cluster, client: server.client(loopbackUser), clock, logger });
      await registry.start();
      return registry;
    });
    this.#parts.push({ stop: async () => (await starting).stop() });
  }

  /** All keys; what is missing is made, and what is expiring too, now and while the cluster runs. */
  async #prepareKeys(nodes: readonly NodePlan[]): Promise<CertificateRenewal> {
    const { cluster, clock, logger } = this.#options;
    const ensure = (known?: ClusterKeys) => ensureClusterKeys({ cluster, nodes, known, clock, logger });
    const onAdmin = () => renewContext(cluster);
    return new CertificateRenewal({ keys: await ensure(), ensure, onAdmin, clock, logger });
  }

  async #startNode(node: NodePlan): Promise<void> {
    const { cluster, context, permit, clock, logger } = this.#options;
    const guardian = new Guardian({
      socket: node.layout.socket,
      process: () => nodeProcess({ context, cluster, permit }, node),
      permit,
      hangPatienceMs: hangPatienceMs(context.environment),
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
