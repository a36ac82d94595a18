/**
 * A node's data plane: feeds the L7 engine from Ingresses, Revisions and pods, holds requests for what is at zero, and reports what it sees in its DataPlane object. Everything that a warm
 * request needs is in the engine: it goes on while the control plane is away.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import { NamedSecrets } from "#client/named-secrets.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { MetricSnapshot } from "#component-base/metrics.ts";
import type { ConfigChange, ConfigSink } from "#proxy/config/route-source.ts";
import type { HoldVerdict } from "#proxy/config/hold.ts";
import type { ClusterLoad } from "#proxy/observe/cluster-loads.ts";
import { type Ingress, ingresses, type Revision, revisions } from "#serving/kinds.ts";
import { annotations as keys, labels } from "#serving/names.ts";
import { ingressClass } from "#serving/route/ingress-of.ts";
import { clusterOfKey, keyOfCluster, ownClusterOfKey } from "./cluster-keys.ts";
import { EndpointProbes } from "./endpoint-probe.ts";
import { ColdStarts } from "./cold-starts.ts";
import { clusterName, clusterOf, ownClusterOf, peerRouteOf, revisionsOf, routesOf } from "./engine-config.ts";
import { LoadReports } from "./load-reports.ts";
import type { NodeEngineOptions } from "./node-engine-options.ts";
import { NodePods } from "./node-pods.ts";
import { dataPlanePart } from "./data-plane-part.ts";
import { PeerPlanes, spreadOverNodes } from "./peer-planes.ts";
import {
  endpointOf,
  isOfRevision,
  type PodEndpoint,
  podsByRevision,
  revisionOf,
  revisionPods,
} from "./pod-endpoints.ts";
import { endpointName, RevisionEndpoints } from "./revision-endpoints.ts";
import { registerDataPlane } from "./register-data-plane.ts";
import { RevisionHold } from "./revision-hold.ts";
import { RevisionLoads } from "./revision-loads.ts";
import { RevisionTroubles } from "./revision-troubles.ts";
import { RouteCertificates } from "./route-certificates.ts";

/** The engine, as far as it is needed here. */
export interface ServingEngine extends ConfigSink {
  /** How busy clusters were since this was called last, held requests included. Nobody else may call it. */
  takeLoads(): readonly ClusterLoad[];
  /** Requests that wait for a place at one of the cluster's endpoints. */
  waitingAt(cluster: string): number;
  /** Resolves when this endpoint ("address:port") of a cluster has no request under way. */
  whenIdle(cluster: string, endpoint: string): Promise<void>;
}

/** Index of Ingresses by "namespace/revision". */
const byRevision = "serving-ingress-revision";
/** RuntimeClasses of pods that take connections from the moment in which they run: their socket listens before they get their code. */
const isolateClasses: readonly string[] = ["isolate", "isolate-packed"];

/** A node's data plane. Give `hold` to the engine under the name {@link revisionHold}, then start. */
export class NodeEngine implements Pick<Service, "stop"> {
  readonly hold: RevisionHold;
  readonly #options: NodeEngineOptions;
  readonly #abort = new AbortController();
  readonly #reports: LoadReports;
  readonly #probes: EndpointProbes;
  readonly #troubles: RevisionTroubles;
  readonly #peers: PeerPlanes;
  readonly #certificates: RouteCertificates;
  #securePort: number | undefined;
  readonly #loads: RevisionLoads;
  readonly #coldStarts: ColdStarts;
  /** By revision's key: where its pods are. */
  readonly #endpoints = new Map<string, RevisionEndpoints>();
  /** Keys of revisions for which the engine has an endpoint. */
  readonly #served = new Set<string>();
  readonly #routes = new Map<string, readonly string[]>();
  readonly #dirty = new Set<string>();
  readonly #local = new NodePods();
  #disconnect: (() => void)[] = [];
  #sink: ServingEngine | undefined;
  #ingresses: Informer<Ingress> | undefined;
  #revisions: Informer<Revision> | undefined;
  #pods: Informer<Pod> | undefined;
  #applying: Promise<void> | undefined;

  constructor(options: NodeEngineOptions) {
    this.#options = options;
    this.hold = new RevisionHold({
      isServed: (cluster) => this.#served.has(keyOfCluster(cluster)),
      onFirst: (cluster) => this.#onDemand(keyOfCluster(cluster)),
      onUnreachable: (cluster, endpoint) => this.#onUnreachable(keyOfCluster(cluster), endpoint),
      refusalFor: (cluster) => this.#troubles.refusalFor(keyOfCluster(cluster)),
      onAnswer: (cluster) => this.#coldStarts.onAnswer(keyOfCluster(cluster)),
    });
    this.#troubles = new RevisionTroubles(options.clock, (...known) => this.#onTrouble(...known));
    this.#loads = new RevisionLoads({
      takeLoads: () => this.#sink?.takeLoads() ?? [],
      waitingAt: (cluster) => this.#sink?.waitingAt(cluster) ?? 0,
      heldFor: (cluster) => this.hold.heldFor(cluster),
    });
    this.#reports = new LoadReports({ ...options, read: () => this.#loads.report(this.#watched()) });
    this.#probes = new EndpointProbes(options.clock);
    const { client, clock, nodeName: node, peer } = options;
    const onChange = (changed: string) => this.#touchNode(changed);
    this.#peers = new PeerPlanes({ client, clock, signal: this.#abort.signal, self: { node, peer }, onChange });
    this.#coldStarts = new ColdStarts({ clock: options.clock, onColdStart: (start) => this.#loads.onColdStart(start) });
    this.#certificates = new RouteCertificates(new NamedSecrets(options), (changed) => {
      for (const ingress of changed) this.#touchAll([], ingress);
    });
  }

  /** Resolves when the engine is told all there is; waits until Serving's kinds are there. */
  async start(sink: ServingEngine): Promise<void> {
    const { signal } = this.#abort;
    const { informers } = this.#options;
    this.#sink = sink;
    await registerDataPlane(this.#options, signal);
    this.#ingresses = informers.informer<Ingress>({ resource: ingresses, indexes: { [byRevision]: revisionsOf } });
    this.#revisions = informers.informer<Revision>({ resource: revisions, transform: dataPlanePart });
    this.#pods = revisionPods(informers);
    await Promise.all([this.#ingresses, this.#revisions, this.#pods].map((one) => one.waitForSync(signal)));
    this.#follow();
    await this.#applying;
    await this.#certificates.settled(signal);
    await this.#applying;
  }

  /** Where clients reach the listener with TLS; undefined where it is closed or at the usual port. Redirects lead there. */
  useSecurePort(port: number | undefined): void {
    if (this.#securePort === port) return;
    this.#securePort = port;
    for (const ingress of this.#ingresses?.lister.list() ?? [])
      if (ingress.spec?.httpOption === "Redirected") this.#touchAll([], keyOf(ingress));
  }

  /** What the engine was told stays in force. */
  async stop(): Promise<void> {
    this.#abort.abort(new Error("the data plane stops"));
    for (const disconnect of this.#disconnect.splice(0)) disconnect();
    this.#probes.stop();
    this.#troubles.stop();
    this.#peers.stop();
    this.#certificates.stop();
    await Promise.all([this.#applying, this.#reports.stop()]);
  }

  /** A pod of this node has another status, of which the API does not know yet. */
  onLocalPod(pod: Pod): void {
    if (!isOfRevision(pod)) return;
    this.#local.set(pod);
    this.#onPod(pod);
  }

  /** What was counted, for Prometheus. */
  metrics(): MetricSnapshot[] {
    return this.#loads.metrics(this.#endpoints.keys());
  }

  /** A pod of this node is about to end: it gets nothing new. Resolves when what it has is answered; at once for pods of others than Serving. */
  async drain({ metadata, status }: Pod): Promise<void> {
    const revision = metadata?.labels?.[labels.revision];
    if (revision === undefined) return;
    const key = `${metadata?.namespace}/${revision}`;
    const endpoints = this.#endpoints.get(key);
    const own = endpoints?.at(status?.podIP ?? "").filter(({ pod }) => pod === metadata?.uid) ?? [];
    for (const pod of own) this.#learn(key, pod, "leaving");
    await this.#applying;
    const cluster = this.#options.peer === undefined ? clusterOfKey(key) : ownClusterOfKey(key);
    for (const pod of own) await this.#sink?.whenIdle(cluster, endpointName(pod));
  }

  #follow(): void {
    const ingress = (one: Ingress) => this.#touchAll(revisionsOf(one), keyOf(one));
    const revision = (one: Revision) => this.#touchAll([keyOf(one)]);
    // Its times are its routes'.
    const newRevision = (one: Revision) => {
      revision(one);
      for (const it of this.#ingresses?.lister.byIndex(byRevision, keyOf(one)) ?? []) ingress(it);
    };
    const pod = (one: Pod) => this.#onPod(one);
    const podGone = (one: Pod) => {
      this.#local.delete(one);
      this.#onPod(one);
    };
    this.#disconnect = [
      this.#ingresses?.addHandler({ onAdd: ingress, onUpdate: (_before, one) => ingress(one), onDelete: ingress }),
      this.#revisions?.addHandler({
        onAdd: newRevision,
        onUpdate: (_before, one) => revision(one),
        onDelete: revision,
      }),
      this.#pods?.addHandler({ onAdd: pod, onUpdate: (_before, one) => pod(one), onDelete: podGone }),
    ].filter((end) => end !== undefined);
  }

  #onPod(pod: Pod): void {
    const key = revisionOf(pod);
    const [uid = "", isBound] = [pod.metadata?.uid, (pod.spec?.nodeName ?? "") !== ""];
    this.#coldStarts.onPod(key, { uid, isBound, endpoint: endpointOf(pod) });
    this.#touchAll([key]);
  }

  /** As the API tells, and those of this node as the node itself does. */
  #podsOf(key: string): readonly Pod[] {
    return this.#local.amend(key, this.#pods?.lister.byIndex(podsByRevision, key) ?? []);
  }

  #touchAll(revisions: readonly string[], ingress?: string): void {
    for (const key of revisions) this.#dirty.add(key);
    if (ingress !== undefined) this.#dirty.add(`ingress ${ingress}`);
    // A burst of events is one change of the engine.
    this.#applying ??= Promise.resolve().then(() => this.#applyDirty());
  }

  async #applyDirty(): Promise<void> {
    const secured = this.#certificates.users;
    while (this.#dirty.size > 0 && !this.#abort.signal.aborted) {
      const dirty = [...this.#dirty];
      this.#dirty.clear();
      const revisions = dirty.filter((key) => !key.startsWith("ingress "));
      for (const key of revisions) this.#updateEndpoints(key);
      const named = dirty.filter((key) => key.startsWith("ingress ")).map((key) => key.slice("ingress ".length));
      const changes = [
        ...revisions.flatMap((key) => this.#clusterChanges(key)),
        ...named.flatMap((key) => this.#routesChange(key)),
      ];
      const problems = (await this.#sink?.apply(changes)) ?? [];
      for (const problem of problems) this.#options.logger.warn("Route was not taken", problem);
      for (const key of revisions) this.#markServed(key);
      if (this.#watched().size > 0) this.#reports.arm();
    }
    this.#applying = undefined;
    if (this.#certificates.users !== secured) this.#options.onSecured?.(this.#certificates.users);
  }

  /** The engine knows what we know: who waits may go. */
  #markServed(key: string): void {
    const [first] = this.#endpoints.get(key)?.open ?? [];
    if (first === undefined) return void this.#served.delete(key);
    this.#served.add(key);
    this.#coldStarts.onServed(key, first.pod);
    this.hold.release(clusterOfKey(key));
    this.hold.release(ownClusterOfKey(key));
  }

  #updateEndpoints(key: string): void {
    const endpoints = this.#endpoints.get(key) ?? new RevisionEndpoints();
    this.#endpoints.set(key, endpoints);
    const pods = this.#podsOf(key);
    const running = pods.flatMap((pod) => endpointOf(pod) ?? []);
    endpoints.update(running);
    if (endpoints.isServed) this.#troubles.forget(key);
    else this.#troubles.look(key, pods, running);
    const known = new Set(endpoints.unproved.map((pod) => probeName(key, pod)));
    this.#probes.keep((probe) => !probe.startsWith(`${key} `) || known.has(probe));
    if (!endpoints.isServed) for (const pod of endpoints.starting) this.#proveStarting(key, pod);
  }

  /** Somebody waits for this pod: the kubelet's next look is too far away. Only a port can be proved, no other kind of probe. */
  #proveStarting(key: string, pod: PodEndpoint): void {
    if (this.hold.heldFor(clusterOfKey(key)) === 0 || !this.#isPortProbed(key)) return;
    // An isolate that runs listens. Were it not so, the request would find out, and wait again.
    if (isIsolate(this.#revisionOf(key))) this.#endpoints.get(key)?.clear(pod);
    else this.#probe(key, pod);
  }

  #probe(key: string, pod: PodEndpoint): void {
    this.#probes.start(probeName(key, pod), pod, () => {
      this.#endpoints.get(key)?.clear(pod);
      this.#touchAll([key]);
    });
  }

  /** A request met nobody there: others shall not, until somebody is back. */
  #onUnreachable(key: string, endpoint: string): void {
    if (this.#peers.lose(endpoint)) return;
    for (const pod of this.#endpoints.get(key)?.find(endpoint) ?? []) {
      this.#learn(key, pod, "suspect");
      this.#probe(key, pod);
    }
  }

  /** Who waits for a revision that cannot run is told. */
  #onTrouble(key: string, refusal: HoldVerdict): void {
    for (const cluster of [clusterOfKey(key), ownClusterOfKey(key)]) this.hold.release(cluster, refusal);
  }

  /** What the engine still has of it nobody is to be sent to. */
  #learn(key: string, pod: PodEndpoint, what: "suspect" | "leaving"): void {
    const endpoints = this.#endpoints.get(key);
    endpoints?.learn(pod, what);
    if (!endpoints?.isServed) this.#served.delete(key);
    this.#touchAll([key]);
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

  #clusterChanges(key: string): readonly ConfigChange[] {
    const { namespace, name } = splitKey(key);
    const revision = this.#revisionOf(key);
    const isRouted = (this.#ingresses?.lister.byIndex(byRevision, key) ?? []).length > 0;
    if (revision === undefined && !isRouted) return this.#removals(key);
    const endpoints = this.#endpoints.get(key)?.configs() ?? [];
    const { peer: listener } = this.#options.listeners;
    if (listener === undefined || revision === undefined)
      return [{ set: { kind: "cluster", config: clusterOf(namespace, name, { revision, endpoints }) } }];
    const { all, own } = spreadOverNodes(this.#endpoints.get(key), this.#options.nodeName, this.#peers);
    // Who has the pods counts what they have: here every request may go.
    const { maxRequestsPerEndpoint: _limit, ...unlimited } = clusterOf(namespace, name, { revision, endpoints: all });
    return [
      { set: { kind: "cluster", config: unlimited } },
      { set: { kind: "cluster", config: ownClusterOf(namespace, name, { revision, endpoints: own }) } },
      { set: { kind: "route", config: peerRouteOf(namespace, name, listener, revision) } },
    ];
  }

  #removals(key: string): readonly ConfigChange[] {
    const { namespace, name } = splitKey(key);
    this.#forget(key);
    const removed: ConfigChange[] = [{ remove: { kind: "cluster", name: clusterName(namespace, name) } }];
    if (this.#options.listeners.peer === undefined) return removed;
    return [
      ...removed,
      { remove: { kind: "cluster", name: ownClusterOfKey(key) } },
      { remove: { kind: "route", name: `serving-peer/${key}` } },
    ];
  }

  #touchNode(node: string): void {
    const keys = [...this.#endpoints].filter(([, endpoints]) => endpoints.open.some((pod) => pod.node === node));
    this.#touchAll(keys.map(([key]) => key));
  }

  #forget(key: string): void {
    this.#endpoints.delete(key);
    this.#troubles.forget(key);
    this.#loads.forget(key);
    this.#coldStarts.forget(key);
    this.#local.forget(key);
  }

  #routesChange(key: string): readonly ConfigChange[] {
    const { namespace, name } = splitKey(key);
    const ingress = this.#ingresses?.lister.find(namespace, name);
    const isOurs = ingress?.metadata?.annotations?.[keys.ingressClass] === ingressClass;
    const own = isOurs ? ingress : undefined;
    const listeners = {
      ...this.#options.listeners,
      ...(this.#securePort === undefined ? {} : { securePort: this.#securePort }),
    };
    const routes = own === undefined ? [] : routesOf(own, listeners, (revision) => this.#revisionOf(revision));
    const before = this.#routes.get(key) ?? [];
    const names = routes.map((route) => route.name);
    if (names.length === 0) this.#routes.delete(key);
    else this.#routes.set(key, names);
    const gone = before.filter((one) => !names.includes(one));
    return [
      ...this.#certificates.changes(key, own?.spec?.tls ?? []),
      ...routes.map((config) => ({ set: { kind: "route" as const, config } })),
      ...gone.map((one) => ({ remove: { kind: "route" as const, name: one } })),
    ];
  }

  /** The first request for a revision at zero is reported at once. */
  #onDemand(key: string): void {
    // Pods that are there and take no requests are another matter.
    const isAsleep = this.#podsOf(key).length === 0;
    if (isAsleep) {
      this.#coldStarts.begin(key);
      // What was in the way may be gone.
      this.#troubles.forget(key);
    }
    this.#reports.now();
    const name = this.#local.lastNameOf(key);
    // The report is on its way first.
    if (isAsleep && name !== undefined)
      setImmediate(() => this.#options.prepareLike?.({ namespace: splitKey(key).namespace, name }));
    this.#touchAll([key]);
    this.#reports.arm();
  }

  /** Revisions with pods, or with requests that wait for one. */
  #watched(): ReadonlySet<string> {
    const awake = [...this.#endpoints].filter(([, endpoints]) => endpoints.isServed).map(([key]) => key);
    return new Set([...awake, ...this.hold.clusters.map(keyOfCluster)]);
  }
}

function isIsolate(revision: Revision | undefined): boolean {
  return isolateClasses.includes(revision?.spec?.runtimeClassName ?? "");
}

function probeName(key: string, pod: PodEndpoint): string {
  return `${key} ${endpointName(pod)} ${pod.pod}`;
}
