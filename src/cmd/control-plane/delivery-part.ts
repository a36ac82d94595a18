/**
 * Push to deploy, where Knative Serving and Functions run: loaded with them. Its Git server listens once there is a Repository, on loopback and at the cluster's own address for pods.
 */
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { ApiServer } from "#apiserver/api-server.ts";
import type { ControllerContext } from "#client/controller.ts";
import { addressPlan } from "#cmd/machine/address-plan.ts";
import type { Cluster } from "#cmd/machine/clusters.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { GitAddresses } from "#delivery/controller/repository-controller.ts";
import type { DeliveryOptions, HttpHandler } from "#delivery/delivery-options.ts";
import type { DeliveryUser } from "#delivery/kinds.ts";
import { findPeerUser } from "#linux/peer-user.ts";
import { closeServer, listenFrom } from "./listen.ts";

/** What it works with. */
export type DeliveryPartOptions = ControllerContext & {
  readonly server: Pick<ApiServer, "client">;
  readonly cluster: Cluster;
  readonly signal: AbortSignal;
};

const firstPort = 5080;
/** A header that does not come is no reason to keep a connection; a push may take as long as bytes of it arrive, or a deployment says something. */
const headersTimeoutMs = 30_000;
const silenceTimeoutMs = 300_000;
const mostConnections = 128;
/** Who starts clusters on this machine, as his kubeconfig has it. */
const administrator: DeliveryUser = { name: "kubernetes-admin", groups: ["system:masters", "system:authenticated"] };

/** Resolves when Repositories can be made. */
export async function startDeliveryPart(options: DeliveryPartOptions): Promise<Pick<Service, "stop">> {
  const { server, cluster } = options;
  const folder = join(cluster.layout.folder, "git");
  const [{ startDelivery }, { gitCage }] = await Promise.all([
    import("#delivery/delivery.ts"),
    import("./git-cage.ts"),
  ]);
  return await startDelivery({
    ...options,
    folder: join(folder, "repositories"),
    cage: gitCage(),
    clientAs: ({ name, uid, groups }) => server.client({ name, groups, ...(uid === undefined ? {} : { uid }) }),
    localUser: (socket) => localUser(cluster, socket),
    listen: (handler) => listen(cluster, folder, handler),
    async publish(source) {
      const { pushSource } = await import("#cmd/machine/functions/push-source.ts");
      return (await pushSource(cluster, source)).reference;
    },
    publishTree: async (tree) => (await import("./published-tree.ts")).publishTree(cluster, tree),
    async followLog({ namespace, pod, container }, signal) {
      const { readStream } = await import("#cmd/machine/connect.ts");
      const path = `/api/v1/namespaces/${namespace}/pods/${pod}/log?follow=true&container=${container}`;
      return await readStream(cluster, path, signal);
    },
    workRoot: workFolder(folder),
  } satisfies DeliveryOptions);
}

/** Root, the user that the cluster runs as, and the owner of its kubeconfig are its administrator, as for its registry. */
async function localUser({ record }: Cluster, socket: Socket): Promise<DeliveryUser | undefined> {
  const { localAddress = "", localPort = 0, remoteAddress = "", remotePort = 0 } = socket;
  if (!localAddress.startsWith("127.")) return undefined;
  const user = await findPeerUser({ localAddress, localPort, remoteAddress, remotePort });
  if (user === undefined) return undefined;
  // Without one nobody owns it.
  const owner = await stat(record.kubeconfig).catch(() => undefined);
  return [0, process.getuid?.(), owner?.uid].includes(user) ? administrator : undefined;
}

function workFolder(folder: string): string {
  return join(folder, "work");
}

type Listening = Awaited<ReturnType<DeliveryOptions["listen"]>>;

// At the ports that it had before, because remotes name them.
async function listen({ record }: Cluster, folder: string, handler: HttpHandler): Promise<Listening> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // What the process before this one had checked out when it was killed.
  await rm(workFolder(folder), { recursive: true, force: true });
  await mkdir(workFolder(folder), { mode: 0o700 });
  const note = join(folder, "ports.json");
  const before = JSON.parse(await readFile(note, "utf8").catch(() => "{}")) as { machine?: number; pods?: number };
  const { nodePortLoopback: loopback, controlPlane } = addressPlan(record);
  const servers: Server[] = [];
  const open = async (host: string, port: number | undefined) => {
    const server = makeServer(handler);
    const found = await listenFrom(server, host, port ?? firstPort);
    servers.push(server);
    return found;
  };
  const machine = await open(loopback, before.machine);
  // Without root there are no pods that could reach it, and loopback is everybody's.
  const pods = record.isRootless ? undefined : await open(controlPlane, before.pods);
  await writeFile(note, JSON.stringify({ machine, ...(pods === undefined ? {} : { pods }) }));
  const addresses: GitAddresses = {
    machine: `http://${loopback}:${machine}`,
    ...(pods === undefined ? {} : { pods: `http://${controlPlane}:${pods}` }),
  };
  return {
    addresses,
    async stop() {
      for (const server of servers) await closeServer(server);
    },
  };
}

function makeServer(handler: HttpHandler): Server {
  const server = createServer(
    { headersTimeout: headersTimeoutMs, requestTimeout: 0 },
    (request, response) => void handler(request, response), // answers in any case
  );
  server.timeout = silenceTimeoutMs;
  server.maxConnections = mostConnections;
  return server;
}
