/**
 * How busy each revision is here: for the node's report, which the autoscaler goes by, and for Prometheus.
 */
import { splitKey } from "#client/object-store.ts";
import type { MetricSnapshot } from "#component-base/metrics.ts";
import type { ClusterLoad } from "#proxy/observe/cluster-loads.ts";
import type { ColdStart } from "#serving/data-plane.ts";
import { clusterOfKey, keyOfCluster, ownClusterOfKey } from "./cluster-keys.ts";
import type { DataPlaneStatus } from "./data-plane-object.ts";
import { clusterPrefix } from "./engine-config.ts";
import { ServingMetrics } from "./serving-metrics.ts";

/** In the node's object. */
const rememberedColdStarts = 20;

/** Who knows. Clusters by their names. */
export type LoadSources = {
  /** Since this was called last. */
  readonly takeLoads: () => readonly ClusterLoad[];
  /** Requests that wait for a place at one of the cluster's endpoints. */
  readonly waitingAt: (cluster: string) => number;
  /** Requests that wait for the first endpoint. */
  readonly heldFor: (cluster: string) => number;
};

export class RevisionLoads {
  readonly #sources: LoadSources;
  readonly #metrics = new ServingMetrics();
  /** Of the last report. */
  readonly #concurrency = new Map<string, number>();
  /** The last ones, for the next report. */
  readonly #coldStarts: ColdStart[] = [];

  constructor(sources: LoadSources) {
    this.#sources = sources;
  }

  /** The report on these revisions; undefined when there are none. */
  report(watched: ReadonlySet<string>): Omit<DataPlaneStatus, "reportTime"> | undefined {
    const all = this.#sources.takeLoads().filter(({ cluster }) => cluster.startsWith(clusterPrefix));
    const loads = new Map(all.map((load) => [keyOfCluster(load.cluster), load]));
    for (const [key, { requests }] of loads) this.#metrics.count(splitKey(key).namespace, splitKey(key).name, requests);
    this.#concurrency.clear();
    const revisions = [...watched].map((key) => {
      const { averageConcurrency = 0, requests = 0 } = loads.get(key) ?? {};
      // A request that has only just come is not much of an average yet.
      const concurrency = Math.max(averageConcurrency, this.#sources.heldFor(clusterOfKey(key)));
      this.#concurrency.set(key, concurrency);
      const queued = this.#queuedFor(key);
      return { ...splitKey(key), concurrency, requests, ...(queued === 0 ? {} : { queued }) };
    });
    return revisions.length === 0 ? undefined : { revisions, coldStarts: this.#coldStarts };
  }

  /** For Prometheus: of these revisions, and what was counted of all. */
  metrics(keys: Iterable<string>): MetricSnapshot[] {
    for (const key of keys) {
      const { namespace, name } = splitKey(key);
      const concurrency = this.#concurrency.get(key) ?? 0;
      this.#metrics.load(namespace, name, { concurrency, queued: this.#queuedFor(key) });
    }
    return this.#metrics.snapshot();
  }

  /** Told with the next report, which is due within a second: the revision has pods. */
  onColdStart(start: ColdStart): void {
    this.#metrics.coldStart(start);
    this.#coldStarts.push(start);
    if (this.#coldStarts.length > rememberedColdStarts) this.#coldStarts.shift();
  }

  /** The revision is gone. */
  forget(key: string): void {
    const { namespace, name } = splitKey(key);
    this.#concurrency.delete(key);
    this.#metrics.forget(namespace, name);
  }

  #queuedFor(key: string): number {
    const { heldFor, waitingAt } = this.#sources;
    return [clusterOfKey(key), ownClusterOfKey(key)].reduce((sum, name) => sum + heldFor(name) + waitingAt(name), 0);
  }
}
