/**
 * Ingresses on this node: their source feeds the node's L7 engine, and requests are taken as long as there is one of ours. Loaded with the first Ingress.
 */
import { Resolver } from "node:dns/promises";
import type { Pod, Service as KubeService } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { Ingress, IngressClass } from "#api/generated/types/networking-v1.ts";
import type { Client } from "#client/client.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { PodDrain } from "#kubelet/pod-drain.ts";
import { endpointSliceIndexes } from "#network/dns/cluster-records.ts";
import { ExternalNames, type ResolveName } from "#network/ingress/external-names.ts";
import { IngressSource } from "#network/ingress/ingress-source.ts";
import { NamedSecrets } from "#client/named-secrets.ts";
import type { NodeListener } from "#network/ingress/node-listeners.ts";
import type { L7Engine, Seat } from "./l7/l7-engine.ts";
import { sharedListeners } from "./l7/shared-listeners.ts";

const usualHttpsPort = 443;

export type IngressEngineOptions = {
  /** As the node's network part. */
  readonly client: Client;
  readonly informers: InformerFactory;
  /** The node's engine, made when it is first asked for. */
  readonly loadL7: () => Promise<L7Engine>;
  /** Where the cluster's DNS answers, as "ADDRESS:PORT". */
  readonly dns: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Follows Ingresses until it is stopped; redirects lead to where `onListening` was told that TLS is taken. */
export class IngressEngine implements Pick<Service, "stop">, PodDrain {
  readonly #options: IngressEngineOptions;
  readonly #abort = new AbortController();
  readonly #source: IngressSource;
  #l7: L7Engine | undefined;
  #seat: Seat | undefined;
  #served = 0;
  /** Resolves when the engine knows all Ingresses that there were in the beginning. */
  #begun: Promise<void> = Promise.resolve();
  #seating: Promise<void> = Promise.resolve();

  constructor(options: IngressEngineOptions) {
    this.#options = options;
    const { client, informers, clock, logger } = options;
    const networking = (resource: string) => ({ group: "networking.k8s.io", version: "v1", resource });
    this.#source = new IngressSource({
      ingresses: informers.informer<Ingress>({ resource: networking("ingresses") }),
      classes: informers.informer<IngressClass>({ resource: networking("ingressclasses") }),
      services: informers.informer<KubeService>({ resource: { group: "", version: "v1", resource: "services" } }),
      slices: informers.informer<EndpointSlice>({
        resource: { group: "discovery.k8s.io", version: "v1", resource: "endpointslices" },
        indexes: endpointSliceIndexes,
      }),
      secrets: new NamedSecrets({ client, clock, logger }),
      externalNames: new ExternalNames({ resolve: resolverAt(options.dns), clock }),
      listeners: sharedListeners,
      onServed: (count) => this.#onServed(count),
      logger,
    });
  }

  /** Resolves when all Ingresses that there are now are served, or it is known that none is ours. */
  async start(): Promise<void> {
    const l7 = await this.#options.loadL7();
    this.#l7 = l7;
    this.#begun = this.#source.start(l7, this.#abort.signal);
    await this.#begun;
    await this.#seating;
  }

  onListening(listeners: readonly NodeListener[]): void {
    const port = listeners[0]?.httpsPort;
    this.#source.useHttpsPort(port === usualHttpsPort ? undefined : port);
  }

  async drain(pod: Pod): Promise<void> {
    await this.#source.drain(pod);
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error("Ingresses are not served any more"));
    await this.#seating;
  }

  #onServed(count: number): void {
    this.#served = count;
    this.#seating = this.#seating.then(() => this.#sit());
  }

  async #sit(): Promise<void> {
    if (this.#served > 0 && this.#seat === undefined) {
      this.#seat = this.#l7?.join("ingress", { shared: ["http", "https"] });
      await this.#begun.catch(() => {}); // told by start
      await this.#seat?.ready();
    } else if (this.#served === 0 && this.#seat !== undefined) {
      const seat = this.#seat;
      this.#seat = undefined;
      await seat.leave();
    }
  }
}

function resolverAt(dns: readonly string[]): ResolveName {
  return async (name) => {
    const resolver = new Resolver();
    resolver.setServers(dns);
    const answers = await resolver.resolve4(name, { ttl: true });
    return {
      addresses: answers.map(({ address }) => address),
      ttlSeconds: Math.min(...answers.map(({ ttl }) => ttl)),
    };
  };
}
