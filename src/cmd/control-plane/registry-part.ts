/**
 * The registry of this machine, served at a port of loopback as people know it from kind and k3d: `docker push localhost:5000/name`; and at the cluster's own address for pods,
 * who need a token. Listens once everything else runs; its code is loaded with the first request.
 */
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import type { Client } from "#client/client.ts";
import { addressPlan } from "#cmd/machine/address-plan.ts";
import type { Cluster } from "#cmd/machine/clusters.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { announcedHosts, announceHosts } from "#images/registry/hosts.ts";
import type { RegistryHandler } from "#images/registry/registry-handler.ts";
import { closeServer, listenFrom } from "./listen.ts";

/** What it works with. */
export type RegistryPartOptions = {
  readonly cluster: Cluster;
  /** Knows whose a token is, and what he may do. */
  readonly client: Client;
  readonly clock: Clock;
  readonly logger: Logger;
};

type Handlers = { readonly owners: RegistryHandler; readonly tokens: RegistryHandler };

const firstPort = 5000;
/** A header that does not come is no reason to keep a connection; a blob may take as long as bytes of it arrive. */
const headersTimeoutMs = 30_000;
const silenceTimeoutMs = 120_000;
const mostConnections = 256;

export class RegistryPart {
  readonly #options: RegistryPartOptions;
  readonly #servers: Server[] = [];
  #handlers: Promise<Handlers> | undefined;

  constructor(options: RegistryPartOptions) {
    this.#options = options;
  }

  /** Never rejects: a cluster without a registry is better than none. */
  async start(): Promise<void> {
    const { logger } = this.#options;
    try {
      const { address, podAddress } = await this.#listen();
      logger.info("Serving the registry", { address, podAddress });
    } catch (error) {
      logger.warn("The registry is not served", { error });
    }
  }

  async stop(): Promise<void> {
    for (const server of this.#servers.splice(0)) await closeServer(server);
  }

  // The ports that it had before, because images are called by them; else the first that are free.
  async #listen(): Promise<{ readonly address: string; readonly podAddress?: string }> {
    const { record, layout } = this.#options.cluster;
    const { nodePortLoopback: host, controlPlane } = addressPlan(record);
    const before = await announcedHosts(layout.images, record.name);
    const address = await this.#serve("owners", host, before?.address);
    // Without root there are no pods that could reach it, and loopback is everybody's.
    const podAddress = record.isRootless ? undefined : await this.#serve("tokens", controlPlane, before?.podAddress);
    const local = host === "127.0.0.1" ? [address, address.replace(host, "localhost")] : [address];
    const served = { address, ...(podAddress !== undefined && { podAddress }) };
    const hosts = [...local, ...(podAddress === undefined ? [] : [podAddress])];
    await announceHosts(layout.images, record.name, { ...served, hosts, path: join(layout.folder, "cluster.json") });
    return served;
  }

  /** Gives "HOST:PORT". */
  async #serve(who: keyof Handlers, host: string, before: string | undefined): Promise<string> {
    const known = before?.startsWith(`${host}:`) ? Number(before.split(":")[1]) : firstPort;
    const server = this.#makeServer(who);
    const port = await listenFrom(server, host, known);
    if (port !== known) this.#options.logger.warn("The registry's port is taken", { host, wanted: known, port });
    this.#servers.push(server);
    return `${host}:${port}`;
  }

  #makeServer(who: keyof Handlers): Server {
    const server = createServer(
      { headersTimeout: headersTimeoutMs, requestTimeout: 0 },
      // Answers in any case.
      (request, response) =>
        void this.#load().then(
          (handlers) => handlers[who].handle(request, response),
          (error: unknown) => {
            this.#options.logger.error("The registry could not be opened", { error });
            response.writeHead(503).end();
          },
        ),
    );
    server.timeout = silenceTimeoutMs;
    server.maxConnections = mostConnections;
    return server;
  }

  #load(): Promise<Handlers> {
    this.#handlers ??= this.#open();
    this.#handlers.catch(() => (this.#handlers = undefined));
    return this.#handlers;
  }

  async #open(): Promise<Handlers> {
    const { cluster, client, clock, logger } = this.#options;
    const [{ ImageStore }, { EmbeddedRegistry }, { RegistryHandler }, { OwnerGuard, TokenGuard }] = await Promise.all([
      import("#images/image-store.ts"),
      import("#images/registry/embedded-registry.ts"),
      import("#images/registry/registry-handler.ts"),
      import("./registry-guards.ts"),
    ]);
    const store = new ImageStore({ folder: cluster.layout.images, clock });
    await store.open();
    const common = { registry: new EmbeddedRegistry({ store }), clock, logger };
    return {
      owners: new RegistryHandler({ ...common, guard: new OwnerGuard(cluster.record.kubeconfig) }),
      tokens: new RegistryHandler({ ...common, guard: new TokenGuard(client) }),
    };
  }
}
