/**
 * Who feeds a node's L7 engine: Ingresses and, where the cluster has it, Knative Serving, each from the first one on. The engine itself is loaded for the first of them, so that a cluster with neither
 * pays for two watches and nothing else.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { Ingress } from "#api/generated/types/networking-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import { addressPlan } from "#cmd/machine/address-plan.ts";
import type { Cluster } from "#cmd/machine/clusters.ts";
import type { NodePlan } from "#cmd/machine/node-plan.ts";
import type { IngressEngine } from "#cmd/node/ingress-engine.ts";
import type { ServingDataPlane } from "#cmd/node/serving-engine.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { MetricSnapshot } from "#component-base/metrics.ts";
import type { PodDrain } from "#kubelet/pod-drain.ts";
import type { NodeListener } from "#network/ingress/node-listeners.ts";
import type { L7Engine } from "./l7-engine.ts";

/** Routes of Knative Serving. */
const servingIngresses = { group: "networking.internal.knative.dev", version: "v1alpha1", resource: "ingresses" };
const askAgainMs = 500;
const ingressResource = { group: "networking.k8s.io", version: "v1", resource: "ingresses" };

export type L7SourcesOptions = {
  readonly cluster: Cluster;
  readonly plan: NodePlan;
  /** As the node's network part. */
  readonly client: Client;
  readonly informers: InformerFactory;
  /** Where the cluster's DNS may answer, as "ADDRESS:PORT". */
  readonly dns: readonly string[];
  /** Told where requests are taken, whenever that has changed. */
  readonly onListening: (listeners: readonly NodeListener[]) => void;
  /** Told when a pod like this one, which was here, will be wanted in a moment. */
  readonly prepareLike: (pod: { readonly namespace: string; readonly name: string }) => void;
  readonly environment: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly logger: Logger;
};

export class L7Sources implements Pick<Service, "stop">, PodDrain {
  readonly #options: L7SourcesOptions;
  readonly #abort = new AbortController();
  #engine: Promise<L7Engine> | undefined;
  #ingress: IngressEngine | undefined;
  #serving: ServingDataPlane | undefined;
  /** Resolves when it is known that Serving has no routes yet, or its data plane has its place at the engine. */
  readonly #servingKnown = Promise.withResolvers<void>();
  #isPlaceKept = false;
  #listeners: readonly NodeListener[] = [];
  #removeHandlers: (() => void)[] = [];
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: L7SourcesOptions) {
    this.#options = options;
  }

  /** Begins in the background: a node without it is a node. */
  start(): void {
    const { logger } = this.#options;
    const told = (what: string) => (error: unknown) => {
      if (!this.#abort.signal.aborted) logger.error(what, { error });
    };
    const ingresses = this.#followIngresses().catch(told("Ingresses cannot be served"));
    const hasServing = this.#options.cluster.record.hasServing === true;
    const serving = hasServing ? this.#followServing(ingresses) : Promise.resolve();
    if (!hasServing) this.#servingKnown.resolve();
    this.#running = Promise.all([ingresses, serving.catch(told("Knative Serving's data plane cannot run"))]);
  }

  async drain(pod: Pod, signal: AbortSignal): Promise<void> {
    await Promise.all([this.#ingress?.drain(pod), this.#serving?.drain(pod, signal)]);
  }

  /** A pod of this node has another status. */
  onPodStatus(pod: Pod): void {
    this.#serving?.onPodStatus(pod);
  }

  /** What engine and sources have counted, as far as they are there. */
  async metrics(): Promise<readonly MetricSnapshot[]> {
    // Why it is not there was told when it was started.
    const engine = await this.#engine?.catch(() => undefined);
    return [...(engine?.metrics() ?? []), ...(this.#serving?.metrics() ?? [])];
  }

  /** Requests under way end first. */
  async stop(): Promise<void> {
    this.#abort.abort(new Error("the node stops"));
    for (const remove of this.#removeHandlers.splice(0)) remove();
    await this.#running;
    await Promise.all([this.#ingress?.stop(), this.#serving?.stop()]);
    // One that could not be started needs no end.
    await (await this.#engine?.catch(() => undefined))?.stop();
  }

  /** Resolves when those that there are now are served. */
  async #followIngresses(): Promise<void> {
    const informer = this.#options.informers.informer<Ingress>({ resource: ingressResource });
    await informer.waitForSync(this.#abort.signal);
    const first = Promise.withResolvers<void>();
    this.#removeHandlers.push(informer.addHandler({ onAdd: () => first.resolve() }));
    if (informer.lister.list().length > 0) return await this.#startIngresses();
    void first.promise
      .then(() => this.#startIngresses())
      .catch((error: unknown) => this.#options.logger.error("Ingresses cannot be served", { error }));
  }

  async #startIngresses(): Promise<void> {
    const { client, informers, dns, clock, logger } = this.#options;
    const { IngressEngine } = await import("#cmd/node/ingress-engine.ts");
    this.#abort.signal.throwIfAborted();
    const loadL7 = () => this.#loadForIngresses();
    this.#ingress = new IngressEngine({ client, informers, loadL7, dns, clock, logger });
    this.#ingress.onListening(this.#listeners);
    await this.#ingress.start();
  }

  /** After a restart nobody is told that there is nothing at a Knative Service's host. */
  async #loadForIngresses(): Promise<L7Engine> {
    const l7 = await this.#loadEngine();
    if (this.#isPlaceKept) return l7;
    this.#isPlaceKept = true;
    const seat = l7.join("routes of Serving to come", { shared: [] });
    void this.#servingKnown.promise.then(() => seat.leave()); // neither rejects
    return l7;
  }

  /** Its data plane begins with the first route. Resolves when those that there are now are served. */
  async #followServing(ingresses: Promise<void>): Promise<void> {
    const { client, informers, clock, logger } = this.#options;
    const { signal } = this.#abort;
    // The control plane installs the kinds some time after the node's start.
    for (;;) {
      const isThere = await client.list({ resource: servingIngresses }, { limit: 1, signal }).then(
        () => true,
        () => false,
      );
      signal.throwIfAborted();
      if (isThere) break;
      await clock.sleep(askAgainMs, signal);
    }
    const informer = informers.informer<KubeObject>({ resource: servingIngresses });
    await informer.waitForSync(signal);
    const first = Promise.withResolvers<void>();
    this.#removeHandlers.push(informer.addHandler({ onAdd: () => first.resolve() }));
    if (informer.lister.list().length > 0) return await this.#startServing(ingresses);
    this.#servingKnown.resolve();
    void first.promise
      .then(() => this.#startServing(ingresses))
      .catch((error: unknown) => logger.error("Knative Serving's data plane cannot run", { error }));
  }

  /** It is not listened at before it is known which Ingresses there are, and the other way round. */
  async #startServing(ingresses: Promise<void>): Promise<void> {
    const { cluster, plan, client, informers, prepareLike, clock, logger } = this.#options;
    const isAlone = cluster.record.nodes === 1;
    const [{ startServingEngine }, l7] = await Promise.all([import("#cmd/node/serving-engine.ts"), this.#loadEngine()]);
    this.#abort.signal.throwIfAborted();
    const seat = l7.join("ingresses to come", { shared: [] });
    this.#serving = startServingEngine({ plan, client, informers, isAlone, prepareLike, l7, clock, logger });
    this.#serving.onListening(this.#listeners);
    this.#servingKnown.resolve();
    void ingresses.then(() => seat.leave()); // neither rejects
  }

  #loadEngine(): Promise<L7Engine> {
    const { environment, cluster, plan, clock, logger } = this.#options;
    const onListening = (listeners: readonly NodeListener[]) => {
      this.#listeners = listeners;
      this.#ingress?.onListening(listeners);
      this.#serving?.onListening(listeners);
      this.#options.onListening(listeners);
    };
    this.#engine ??= import("./create-l7-engine.ts").then(({ createL7Engine }) =>
      createL7Engine({ environment, cluster, plan, onListening, clock, logger }),
    );
    return this.#engine;
  }
}

/** Where the cluster's DNS answers: without root at another port when the usual one is not to be had. */
export function dnsPlaces({ record }: Cluster, highPort: number): readonly string[] {
  const { dnsService } = addressPlan(record);
  return record.isRootless === true ? [`${dnsService}:53`, `${dnsService}:${highPort}`] : [`${dnsService}:53`];
}
