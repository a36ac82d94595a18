/**
 * A node's data plane: feeds the L7 engine from Ingresses, Revisions and EndpointSlices, holds requests for what is at zero, and reports what it sees in its DataPlane object. Everything that a warm
 * request needs is in the engine: it goes on while the control plane is away.
 */
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatMicroTime } from "#apimachinery/time.ts";
import type { Client } from "#client/client.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { EndpointConfig } from "#proxy/config/cluster.ts";
import type { ConfigChange, ConfigSink } from "#proxy/config/route-source.ts";
import type { ClusterLoad } from "#proxy/observe/cluster-loads.ts";
import { endpointSlices, revisionInformer } from "#serving/common/context.ts";
import { type Ingress, ingresses, type Revision } from "#serving/kinds.ts";
import { annotations as keys } from "#serving/names.ts";
import { privateServiceName } from "#serving/podautoscaler/revision-services.ts";
import { ingressClass } from "#serving/route/ingress-of.ts";
import { type DataPlaneObject, dataPlanes } from "./data-plane-object.ts";
import { probeUntilOpen } from "./endpoint-probe.ts";
import {
  addressesOf,
  clusterName,
  clusterOf,
  revisionsOf,
  type RevisionView,
  routesOf,
  type ServingListeners,
} from "./engine-config.ts";
import { RevisionHold } from "./revision-hold.ts";

/** The engine, as far as it is needed here. */
export interface ServingEngine extends ConfigSink {
  /** How busy clusters were since this was called last, held requests included. Nobody else may call it. */
  takeLoads(): readonly ClusterLoad[];
}

/** What a node's data plane works with. */
export type NodeEngineOptions = {
  readonly nodeName: string;
  readonly client: Client;
  /** Runs already, and is shared with the node's other parts. */
  readonly informers: InformerFactory;
  readonly listeners: ServingListeners;
  /** Where pods reach the local listener. */
  readonly addresses: readonly string[];
  readonly httpPort: number;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Index of slices by "namespace/service". */
const byService = "serving-service";
const askAgainMs = 500;
const reportMs = 1000;

/** A node's data plane. Give `hold` to the engine under the name {@link revisionHold}, then start. */
export class NodeEngine implements Pick<Service, "stop"> {
  readonly hold: RevisionHold;
  readonly #options: NodeEngineOptions;
  readonly #abort = new AbortController();
  /** By revision's key: what the engine was told. */
  readonly #endpoints = new Map<string, readonly EndpointConfig[]>();
  /** Addresses that take connections though the kubelet has not said so yet, by revision's key. */
  readonly #proved = new Map<string, Set<string>>();
  readonly #probing = new Set<string>();
  readonly #routes = new Map<string, readonly string[]>();
  readonly #dirty = new Set<string>();
  #disconnect: (() => void)[] = [];
  #sink: ServingEngine | undefined;
  #ingresses: Informer<Ingress> | undefined;
  #revisions: Informer<Revision> | undefined;
  #slices: Informer<EndpointSlice> | undefined;
  #applying: Promise<void> | undefined;
  #timer: Timer | undefined;
  #reporting: Promise<void> | undefined;
  #mustReportAgain = false;

  constructor(options: NodeEngineOptions) {
    this.#options = options;
    this.hold = new RevisionHold({
      hasEndpoints: (cluster) => (this.#endpoints.get(keyOfCluster(cluster))?.length ?? 0) > 0,
      onFirst: (cluster) => this.#onDemand(keyOfCluster(cluster)),
    });
  }

  /** Resolves when the engine is told all there is; waits until Serving's kinds are there. */
  async start(sink: ServingEngine): Promise<void> {
    const { signal } = this.#abort;
    const { informers } = this.#options;
    this.#sink = sink;
    await this.#register(signal);
    this.#ingresses = informers.informer<Ingress>({ resource: ingresses });
    this.#revisions = revisionInformer({ informers });
    const serviceOf = ({ metadata }: EndpointSlice) => {
      const service = metadata?.labels?.["kubernetes.io/service-name"];
      return service === undefined ? [] : [`${metadata?.namespace}/${service}`];
    };
    this.#slices = informers.informer<EndpointSlice>({ resource: endpointSlices, indexes: { [byService]: serviceOf } });
    await Promise.all([this.#ingresses, this.#revisions, this.#slices].map((one) => one.waitForSync(signal)));
    this.#follow();
    await this.#applying;
  }

  /** What the engine was told stays in force. */
  async stop(): Promise<void> {
    this.#abort.abort(new Error("the data plane stops"));
    for (const disconnect of this.#disconnect.splice(0)) disconnect();
    this.#timer?.clear();
    await Promise.all([this.#applying, this.#reporting]);
  }

  /** Says where requests are taken. Asks again while the kind is not there, or the API away. */
  async #register(signal: AbortSignal): Promise<void> {
    const { nodeName, addresses, httpPort, client, clock, logger } = this.#options;
    const wanted: DataPlaneObject = {
      apiVersion: `${dataPlanes.group}/${dataPlanes.version}`,
      kind: "DataPlane",
      metadata: { name: nodeName },
      spec: { addresses, httpPort },
    };
    for (;;) {
      try {
        const body = { apiVersion: wanted.apiVersion, kind: wanted.kind, spec: wanted.spec };
        const options = { fieldManager: "nodeless-data-plane", force: true, signal };
        await client.patch({ resource: dataPlanes, name: nodeName }, { type: "apply", body }, options);
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (!hasReason(error, "NotFound")) logger.debug("Data plane could not be registered", { error });
        await clock.sleep(askAgainMs, signal);
      }
    }
  }

  #follow(): void {
    const ingress = (one: Ingress) => this.#touchAll(revisionsOf(one), keyOf(one));
    const revision = (one: Revision) => this.#touchAll([keyOf(one)]);
    const slice = ({ metadata }: EndpointSlice) => {
      const service = metadata?.labels?.["kubernetes.io/service-name"] ?? "";
      const name = metadata?.labels?.["serving.knative.dev/revision"];
      if (name !== undefined && service === privateServiceName(name))
        this.#touchAll([`${metadata?.namespace}/${name}`]);
    };
    this.#disconnect = [
      this.#ingresses?.addHandler({ onAdd: ingress, onUpdate: (_before, one) => ingress(one), onDelete: ingress }),
      this.#revisions?.addHandler({ onAdd: revision, onUpdate: (_before, one) => revision(one), onDelete: revision }),
      this.#slices?.addHandler({ onAdd: slice, onUpdate: (_before, one) => slice(one), onDelete: slice }),
    ].filter((end) => end !== undefined);
  }

  #touchAll(revisions: readonly string[], ingress?: string): void {
    for (const key of revisions) this.#dirty.add(key);
    if (ingress !== undefined) this.#dirty.add(`ingress ${ingress}`);
    // A burst of events is one change of the engine.
    this.#applying ??= Promise.resolve().then(() => this.#applyDirty());
  }

  async #applyDirty(): Promise<void> {
    while (this.#dirty.size > 0 && !this.#abort.signal.aborted) {
      const dirty = [...this.#dirty];
      this.#dirty.clear();
      const revisions = dirty.filter((key) => !key.startsWith("ingress "));
      const woken = revisions.filter((key) => this.#updateEndpoints(key));
      const named = dirty.filter((key) => key.startsWith("ingress ")).map((key) => key.slice("ingress ".length));
      const changes = [...revisions.map((key) => this.#clusterChange(key)), ...this.#routeChanges(named, woken)];
      const problems = (await this.#sink?.apply(changes)) ?? [];
      for (const problem of problems) this.#options.logger.warn("Route was not taken", problem);
      for (const key of revisions)
        if ((this.#endpoints.get(key)?.length ?? 0) > 0) this.hold.release(clusterOfKey(key));
      this.#arm();
    }
    this.#applying = undefined;
  }

  /** True when whether there are endpoints has changed: routes say whether requests are held. */
  #updateEndpoints(key: string): boolean {
    const { namespace, name } = splitKey(key);
    const slices = this.#slices?.lister.byIndex(byService, `${namespace}/${privateServiceName(name)}`) ?? [];
    const { ready, starting } = addressesOf(slices);
    const proved = this.#proved.get(key) ?? new Set<string>();
    const early = starting.filter((endpoint) => proved.has(nameOf(endpoint)));
    // What has become ready or gone needs no proof any more.
    for (const one of proved) if (!starting.some((endpoint) => nameOf(endpoint) === one)) proved.delete(one);
    const before = this.#endpoints.get(key)?.length ?? 0;
    const now = [...ready, ...early];
    this.#endpoints.set(key, now);
    if (now.length === 0) for (const endpoint of starting) this.#probe(key, endpoint);
    return before > 0 !== now.length > 0;
  }

  /** Somebody waits for this pod: the kubelet's next look is too far away. Only a port can be proved, no other kind of probe. */
  #probe(key: string, endpoint: EndpointConfig): void {
    const name = `${key} ${nameOf(endpoint)}`;
    if (this.hold.heldFor(clusterOfKey(key)) === 0 || this.#probing.has(name) || !this.#isPortProbed(key)) return;
    this.#probing.add(name);
    const { clock } = this.#options;
    const done = () => {
      const proved = this.#proved.get(key) ?? new Set<string>();
      proved.add(nameOf(endpoint));
      this.#proved.set(key, proved);
      this.#touchAll([key]);
    };
    void probeUntilOpen(endpoint, { clock, signal: AbortSignal.any([this.#abort.signal, AbortSignal.timeout(60_000)]) })
      .then(done, () => {}) // given up: the kubelet will tell
      .finally(() => this.#probing.delete(name));
  }

  #isPortProbed(key: string): boolean {
    const containers = this.#revisionOf(key)?.spec?.containers ?? [];
    const { readinessProbe: probe } = containers.find(({ ports }) => (ports ?? []).length > 0) ?? containers[0] ?? {};
    return probe?.httpGet === undefined && probe?.exec === undefined && probe?.grpc === undefined;
  }

  #revisionOf(key: string): Revision | undefined {
    const { namespace, name } = splitKey(key);
    return this.#revisions?.lister.find(namespace, name);
  }

  #viewOf(key: string): RevisionView {
    return { revision: this.#revisionOf(key), endpoints: this.#endpoints.get(key) ?? [] };
  }

  #clusterChange(key: string): ConfigChange {
    const { namespace, name } = splitKey(key);
    if (this.#revisionOf(key) !== undefined || this.#ingressesOf(key).length > 0)
      return { set: { kind: "cluster", config: clusterOf(namespace, name, this.#viewOf(key)) } };
    this.#endpoints.delete(key);
    return { remove: { kind: "cluster", name: clusterName(namespace, name) } };
  }

  #ingressesOf(revision: string): readonly Ingress[] {
    return (this.#ingresses?.lister.list() ?? []).filter((ingress) => revisionsOf(ingress).includes(revision));
  }

  /** Of Ingresses that have changed, and of those whose revisions woke or fell asleep. */
  #routeChanges(named: readonly string[], woken: readonly string[]): readonly ConfigChange[] {
    const keysOfWoken = woken.flatMap((key) => this.#ingressesOf(key).map((ingress) => keyOf(ingress)));
    return [...new Set([...named, ...keysOfWoken])].flatMap((key) => this.#routesChange(key));
  }

  #routesChange(key: string): readonly ConfigChange[] {
    const { namespace, name } = splitKey(key);
    const ingress = this.#ingresses?.lister.find(namespace, name);
    const isOurs = ingress?.metadata?.annotations?.[keys.ingressClass] === ingressClass;
    const routes =
      ingress !== undefined && isOurs
        ? routesOf(ingress, this.#options.listeners, (revision) => this.#viewOf(revision))
        : [];
    const before = this.#routes.get(key) ?? [];
    const names = routes.map((route) => route.name);
    if (names.length === 0) this.#routes.delete(key);
    else this.#routes.set(key, names);
    const gone = before.filter((one) => !names.includes(one));
    return [
      ...routes.map((config) => ({ set: { kind: "route" as const, config } })),
      ...gone.map((one) => ({ remove: { kind: "route" as const, name: one } })),
    ];
  }

  /** The first request for a revision at zero is reported at once. */
  #onDemand(key: string): void {
    this.#report();
    this.#touchAll([key]);
    this.#arm();
  }

  /** Revisions with pods, or with requests that wait for one. */
  #watched(): ReadonlySet<string> {
    const awake = [...this.#endpoints].filter(([, endpoints]) => endpoints.length > 0).map(([key]) => key);
    return new Set([...awake, ...this.hold.clusters.map(keyOfCluster)]);
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#watched().size === 0 || this.#abort.signal.aborted) return;
    this.#timer = this.#options.clock.setTimer(reportMs, () => {
      this.#timer = undefined;
      this.#report();
      this.#arm();
    });
  }

  /** One write at a time; what comes meanwhile follows it. */
  #report(): void {
    if (this.#reporting !== undefined) {
      this.#mustReportAgain = true;
      return;
    }
    const loads = new Map((this.#sink?.takeLoads() ?? []).map((load) => [load.cluster, load]));
    const revisions = [...this.#watched()].map((key) => {
      const cluster = clusterOfKey(key);
      const { averageConcurrency = 0, requests = 0 } = loads.get(cluster) ?? {};
      // A request that has only just come is not much of an average yet.
      return { ...splitKey(key), concurrency: Math.max(averageConcurrency, this.hold.heldFor(cluster)), requests };
    });
    if (revisions.length === 0) return;
    const { client, clock, nodeName, logger } = this.#options;
    const ref = { resource: dataPlanes, name: nodeName, subresource: "status" };
    const body = { status: { reportTime: formatMicroTime(clock.now()), revisions } };
    this.#reporting = client
      .patch(ref, { type: "merge", body }, { signal: this.#abort.signal })
      .then(
        () => {},
        (error: unknown) => logger.debug("Requests could not be reported", { error }),
      )
      .finally(() => this.#onReported());
  }

  #onReported(): void {
    this.#reporting = undefined;
    if (!this.#mustReportAgain) return;
    this.#mustReportAgain = false;
    this.#report();
  }
}

function nameOf({ address, port }: EndpointConfig): string {
  return `${address}:${port}`;
}

function clusterOfKey(key: string): string {
  const { namespace, name } = splitKey(key);
  return clusterName(namespace, name);
}

function keyOfCluster(cluster: string): string {
  return cluster.slice("serving/".length);
}
