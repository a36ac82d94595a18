/**
 * How busy each cluster is: requests that came and requests at once on average since somebody looked last, those that are held or wait included. What an autoscaler goes by.
 */

/** One cluster, between two looks. */
export type ClusterLoad = {
  readonly cluster: string;
  /** Requests that began. */
  readonly requests: number;
  /** Requests at once, averaged over time. */
  readonly averageConcurrency: number;
  /** Requests at once, now. */
  readonly concurrency: number;
};

/** One cluster's requests. */
export class LoadMeter {
  #concurrency = 0;
  #requests = 0;
  #areaMs = 0;
  #sinceMs: number;
  #changedMs: number;

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
    this.#changedMs = nowMs;
  }

  /** A request begins. */
  enter(nowMs: number): void {
    this.#passTime(nowMs);
    this.#concurrency++;
    this.#requests++;
  }

  /** A request is over. */
  leave(nowMs: number): void {
    this.#passTime(nowMs);
    this.#concurrency--;
  }

  /** What was since the last look. */
  take(cluster: string, nowMs: number): ClusterLoad {
    this.#passTime(nowMs);
    const lastedMs = nowMs - this.#sinceMs;
    const averageConcurrency = lastedMs > 0 ? this.#areaMs / lastedMs : this.#concurrency;
    const load = { cluster, requests: this.#requests, averageConcurrency, concurrency: this.#concurrency };
    this.#requests = 0;
    this.#areaMs = 0;
    this.#sinceMs = nowMs;
    return load;
  }

  /** A clock that was set back makes no negative time. */
  #passTime(nowMs: number): void {
    if (nowMs > this.#changedMs) this.#areaMs += this.#concurrency * (nowMs - this.#changedMs);
    this.#changedMs = nowMs;
  }
}

/** The meters of all clusters that were asked for. */
export class ClusterLoads {
  readonly #meters = new Map<string, LoadMeter>();

  /** The cluster's meter; kept as long as anything happens on it. */
  of(cluster: string, nowMs: number): LoadMeter {
    const known = this.#meters.get(cluster) ?? new LoadMeter(nowMs);
    this.#meters.set(cluster, known);
    return known;
  }

  /** All clusters on which anything happened since the last look. */
  take(nowMs: number): ClusterLoad[] {
    const loads = [...this.#meters].map(([cluster, meter]) => meter.take(cluster, nowMs));
    for (const { cluster, requests, concurrency } of loads)
      if (requests === 0 && concurrency === 0) this.#meters.delete(cluster);
    return loads;
  }
}

/** What several threads saw, in one. */
export function sumLoads(all: readonly (readonly ClusterLoad[])[]): ClusterLoad[] {
  const sums = new Map<string, ClusterLoad>();
  for (const load of all.flat()) {
    const known = sums.get(load.cluster);
    if (known === undefined) sums.set(load.cluster, load);
    else
      sums.set(load.cluster, {
        cluster: load.cluster,
        requests: known.requests + load.requests,
        averageConcurrency: known.averageConcurrency + load.averageConcurrency,
        concurrency: known.concurrency + load.concurrency,
      });
  }
  return [...sums.values()];
}
