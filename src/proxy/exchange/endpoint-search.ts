/**
 * One request's way to an endpoint: chosen by the cluster, another one for each further try, and waiting where all have as much as they may.
 */
import type { Cluster, Waiter } from "#proxy/upstream/cluster.ts";
import type { Endpoint } from "#proxy/upstream/endpoint.ts";

/** Why there is no endpoint. */
export type NoEndpoint = "none" | "crowded";

/** Who wants an endpoint. */
export interface EndpointSeeker {
  /** There is one; it counts the request until `leave`. */
  onEndpoint(endpoint: Endpoint): void;
  /** There is none. */
  onNoEndpoint(reason: NoEndpoint): void;
  /** It will take a while; `onEndpoint` or `onNoEndpoint` follows, unless the search is left before. */
  onWaiting(waitMs: number): void;
}

const WAIT_MS = 30_000;
const none: ReadonlySet<string> = new Set();

export class EndpointSearch {
  readonly #cluster: Cluster;
  readonly #seeker: EndpointSeeker;
  readonly #hashKey: string | undefined;
  #tried: Set<string> | undefined;
  #waiter: Waiter | undefined;
  #endpoint: Endpoint | undefined;

  constructor(cluster: Cluster, hashKey: string | undefined, seeker: EndpointSeeker) {
    this.#cluster = cluster;
    this.#hashKey = hashKey;
    this.#seeker = seeker;
  }

  get endpoint(): Endpoint | undefined {
    return this.#endpoint;
  }

  /** Finds one, at once or later. */
  begin(): void {
    this.#waiter = undefined;
    const chosen = this.#cluster.choose(this.#hashKey, this.#tried ?? none);
    if (chosen === "none") return this.#seeker.onNoEndpoint("none");
    if (chosen === "full") return this.#wait();
    this.#endpoint = chosen;
    chosen.active++;
    this.#seeker.onEndpoint(chosen);
  }

  /** The endpoint was no good: others come first next time. */
  avoid(): void {
    if (this.#endpoint !== undefined) this.#tried = (this.#tried ?? new Set()).add(this.#endpoint.name);
  }

  /** Gives the endpoint back, or the place among those that wait. */
  leave(): void {
    if (this.#waiter !== undefined) this.#cluster.leave(this.#waiter);
    const endpoint = this.#endpoint;
    this.#waiter = undefined;
    this.#endpoint = undefined;
    if (endpoint !== undefined) this.#cluster.release(endpoint);
  }

  #wait(): void {
    const waiter: Waiter = { onFree: () => this.begin() };
    if (!this.#cluster.wait(waiter)) return this.#seeker.onNoEndpoint("crowded");
    this.#waiter = waiter;
    this.#seeker.onWaiting(this.#cluster.config.waitTimeoutMs ?? WAIT_MS);
  }
}
