/**
 * The registry of this machine, served at a port of loopback as people know it from kind and k3d: `docker push localhost:5000/name`. Listens once everything else runs; its code
 * is loaded with the first request.
 */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { stat } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { Cluster } from "#cmd/machine/clusters.ts";
import { announcedHosts, announceHosts } from "#images/registry/hosts.ts";
import type { RegistryHandler } from "#images/registry/registry-handler.ts";
import { addressPlan } from "#cmd/machine/address-plan.ts";

const firstPort = 5000;
/** A header that does not come is no reason to keep a connection; a blob may take as long as bytes of it arrive. */
const headersTimeoutMs = 30_000;
const silenceTimeoutMs = 120_000;
const mostConnections = 256;
/** Ports that are tried. */
const mostPorts = 100;

export class RegistryPart {
  readonly #cluster: Cluster;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #server: Server;
  #handler: Promise<RegistryHandler> | undefined;

  constructor({
    cluster,
    clock,
    logger,
  }: { readonly cluster: Cluster; readonly clock: Clock; readonly logger: Logger }) {
    this.#cluster = cluster;
    this.#clock = clock;
    this.#logger = logger;
    this.#server = createServer(
      { headersTimeout: headersTimeoutMs, requestTimeout: 0 },
      // Answers in any case.
      (request, response) =>
        void this.#load().then(
          (handler) => handler.handle(request, response),
          (error: unknown) => {
            logger.error("The registry could not be opened", { error });
            response.writeHead(503).end();
          },
        ),
    );
    this.#server.timeout = silenceTimeoutMs;
    this.#server.maxConnections = mostConnections;
  }

  /** Never rejects: a cluster without a registry is better than none. */
  async start(): Promise<void> {
    try {
      const address = await this.#listen();
      this.#logger.info("Serving the registry", { address });
    } catch (error) {
      this.#logger.warn("The registry is not served", { error });
    }
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  // The port that it had before, because images are called by it; else the first that is free.
  async #listen(): Promise<string> {
    const { record, layout } = this.#cluster;
    const host = addressPlan(record).nodePortLoopback;
    const before = await announcedHosts(layout.images, record.name);
    const known = before?.address.startsWith(`${host}:`) ? Number(before.address.split(":")[1]) : firstPort;
    for (let port = known; port < known + mostPorts; port++) {
      if (!(await tryListen(this.#server, port, host))) continue;
      if (port !== known) this.#logger.warn("The registry's port is taken", { wanted: known, port });
      const address = `${host}:${port}`;
      const hosts = host === "127.0.0.1" ? [address, `localhost:${port}`] : [address];
      await announceHosts(layout.images, record.name, { address, hosts, path: join(layout.folder, "cluster.json") });
      return address;
    }
    throw new Error(`no free port from ${known} on`);
  }

  #load(): Promise<RegistryHandler> {
    this.#handler ??= this.#open();
    this.#handler.catch(() => (this.#handler = undefined));
    return this.#handler;
  }

  async #open(): Promise<RegistryHandler> {
    const [{ ImageStore }, { EmbeddedRegistry }, { RegistryHandler }, { findPeerUser }] = await Promise.all([
      import("#images/image-store.ts"),
      import("#images/registry/embedded-registry.ts"),
      import("#images/registry/registry-handler.ts"),
      import("#linux/peer-user.ts"),
    ]);
    const store = new ImageStore({ folder: this.#cluster.layout.images, clock: this.#clock });
    await store.open();
    const users = new WeakMap<Socket, Promise<number | undefined>>();
    const userOf = (socket: Socket) => {
      const { localAddress = "", localPort = 0, remoteAddress = "", remotePort = 0 } = socket;
      const known = users.get(socket) ?? findPeerUser({ localAddress, localPort, remoteAddress, remotePort });
      users.set(socket, known);
      return known;
    };
    return new RegistryHandler({
      registry: new EmbeddedRegistry({ store }),
      clock: this.#clock,
      logger: this.#logger,
      mayWrite: async ({ socket }) => this.#isOwner(await userOf(socket)),
    });
  }

  // What is pushed runs in the cluster: it is for those who may do everything there.
  async #isOwner(user: number | undefined): Promise<boolean> {
    if (user === undefined) return false;
    const administrator = await stat(this.#cluster.record.kubeconfig).catch(() => undefined);
    return [0, process.getuid?.(), administrator?.uid].includes(user);
  }
}

/** False where somebody listens already. */
async function tryListen(server: Server, port: number, host: string): Promise<boolean> {
  try {
    server.listen({ port, host, exclusive: true });
    await once(server, "listening");
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    return false;
  }
}
