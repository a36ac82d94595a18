/**
 * The service proxy of a node without root: listens at the Services' addresses itself, which are the machine's own because they are loopback addresses. What Services mean is as for the
 * kernel's (`service-proxy/frontends.ts`). TCP only: nothing that runs on such a node answers UDP.
 */
import type { EventRecorder } from "#client/event-recorder.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { Frontend } from "#network/service-proxy/frontends.ts";
import { ServiceFrontends } from "#network/service-proxy/service-frontends.ts";
import { SplicedPort } from "./spliced-port.ts";

export type LoopbackProxyOptions = {
  readonly informers: InformerFactory;
  readonly nodeName: string;
  /** Addresses at which node ports and host ports answer. */
  readonly nodePortAddresses: readonly string[];
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** A port that is wanted: listened at, or refused by the machine. */
type Port = { readonly owner: string; readonly place: Place; frontend: Frontend; listener: SplicedPort | undefined };
type Place = { readonly address: string; readonly port: number };

/** How often ports that the machine refused are tried again: another program may have ended, a setting changed. */
const retryMs = 10_000;

/** Services at loopback addresses. */
export class LoopbackProxy implements Service {
  readonly #options: LoopbackProxyOptions;
  readonly #frontends: ServiceFrontends;
  readonly #ports = new Map<string, Port>();
  readonly #dirty = new Set<string>();
  #running: Promise<void> | undefined;
  #retry: Timer | undefined;
  #isStopped = false;

  constructor(options: LoopbackProxyOptions) {
    this.#options = options;
    this.#frontends = new ServiceFrontends(options);
  }

  /** Resolves when all that can be served is. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#frontends.follow(signal, (owner) => this.#mark(owner));
    for (const owner of this.#frontends.owners()) this.#mark(owner);
    await this.#running;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#retry?.clear();
    this.#frontends.stop();
    await this.#running;
    for (const { listener } of this.#ports.values()) listener?.close(true);
    this.#ports.clear();
  }

  #mark(key: string): void {
    this.#dirty.add(key);
    if (this.#isStopped) return;
    // Never rejects: what the machine refuses is told and tried again.
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async #run(): Promise<void> {
    for (const key of this.#dirty) {
      this.#dirty.delete(key);
      await this.#apply(key);
    }
  }

  async #apply(owner: string): Promise<void> {
    const wanted = new Map<string, { readonly place: Place; readonly frontend: Frontend }>();
    for (const frontend of this.#frontends.of(owner).filter(isServed)) {
      for (const place of this.#places(frontend)) wanted.set(nameOf(place), { place, frontend });
    }
    for (const [name, port] of this.#ports) {
      if (port.owner === owner && !wanted.has(name)) {
        port.listener?.close();
        this.#ports.delete(name);
      }
    }
    for (const [name, { place, frontend }] of wanted) {
      const known = this.#ports.get(name);
      if (known) {
        known.frontend = frontend;
        known.listener?.update(frontend);
      } else await this.#open(name, { owner, place, frontend, listener: undefined });
    }
  }

  async #open(name: string, port: Port): Promise<void> {
    this.#ports.set(name, port);
    try {
      await this.#listen(port);
    } catch (error) {
      this.#refused(port, error as NodeJS.ErrnoException);
      this.#retryLater();
    }
  }

  async #listen(port: Port): Promise<void> {
    const listener = new SplicedPort(port.frontend, this.#options.clock);
    await listener.listen(port.place.address, port.place.port);
    port.listener = listener;
  }

  #retryLater(): void {
    if (this.#isStopped) return;
    this.#retry ??= this.#options.clock.setTimer(retryMs, () => {
      this.#retry = undefined;
      const refused = [...this.#ports.values()].filter(({ listener }) => listener === undefined);
      const tries = refused.map((port) => this.#listen(port).then(() => this.#closeIfUnwanted(port)));
      void Promise.allSettled(tries).then((results) => {
        if (results.some(({ status }) => status === "rejected")) this.#retryLater();
      });
    });
  }

  #closeIfUnwanted(port: Port): void {
    if (this.#isStopped || this.#ports.get(nameOf(port.place)) !== port) port.listener?.close(true);
    else port.listener?.update(port.frontend);
  }

  #refused({ owner, place }: Port, { code, message }: NodeJS.ErrnoException): void {
    const { events, logger } = this.#options;
    const about = `Port ${place.port} of ${place.address} is not served`;
    const why =
      code === "EACCES"
        ? "without root this machine gives out no ports below net.ipv4.ip_unprivileged_port_start. Let the Service have another port, or lower that setting with sudo sysctl"
        : code === "EADDRINUSE"
          ? "another program of this machine has it, perhaps at all addresses"
          : message;
    logger.warn("Served no port", { ...place, owner, code });
    const [namespace = "", name = "", kind] = owner.split("/");
    // Nobody here speaks to it: isolates have no tokens.
    if (kind === "pod" || owner === "default/kubernetes") return;
    const uid = this.#frontends.findService(owner)?.metadata?.uid ?? "";
    const object = { apiVersion: "v1", kind: "Service", namespace, name, uid };
    events.record(object, { type: "Warning", reason: "PortNotServed", message: `${about}: ${why}` });
  }

  #places({ address, port }: Frontend): readonly Place[] {
    const addresses = address === "node" ? this.#options.nodePortAddresses : [address];
    return addresses.map((own) => ({ address: own, port }));
  }
}

/** Where nobody listens the kernel refuses connections, as it is to be for a Service without endpoints. */
function isServed({ protocol, targets }: Frontend): boolean {
  return protocol === "tcp" && targets.length > 0;
}

function nameOf({ address, port }: Place): string {
  return `${address}:${port}`;
}
