/**
 * A cluster at work: its endpoints, the choice among them, and the requests that wait because all are full. New configuration keeps endpoints that stay, with their connections and counts.
 */
import type { Balancer } from "#proxy/balance/balancer.ts";
import { createBalancer } from "#proxy/balance/create-balancer.ts";
import type { ClusterConfig } from "#proxy/config/cluster.ts";
import { type ClusterParts, Endpoint, nameOf } from "./endpoint.ts";

/** An endpoint; or why there is none: all that there are have as much as they may, or there are none. */
export type Chosen = Endpoint | "full" | "none";

/** A request that waits for an endpoint. */
export type Waiter = { readonly onFree: () => void };

const noEndpoints: ReadonlyMap<string, Endpoint> = new Map();

export class Cluster {
  readonly #parts: ClusterParts;
  /** By name. What most clusters have none of, most of the time, is shared by all of them: there may be thousands that sleep. */
  #endpoints: ReadonlyMap<string, Endpoint> = noEndpoints;
  #waiters: Set<Waiter> | undefined;
  /** Not endpoints any more, with requests still under way. */
  #leaving: Set<Endpoint> | undefined;
  #onIdle: Set<() => void> | undefined;
  #config: ClusterConfig;
  #balancer: Balancer<Endpoint>;

  constructor(config: ClusterConfig, parts: ClusterParts) {
    this.#parts = parts;
    this.#config = config;
    this.#balancer = createBalancer(config.balance, [], parts.random);
    this.update(config);
  }

  get config(): ClusterConfig {
    return this.#config;
  }

  get waiting(): number {
    return this.#waiters?.size ?? 0;
  }

  update(config: ClusterConfig): void {
    const speaksTheSame = speechOf(config) === speechOf(this.#config);
    this.#config = config;
    const before = this.#endpoints;
    const now = new Map<string, Endpoint>();
    for (const endpoint of config.endpoints) {
      const name = nameOf(endpoint);
      const known = (speaksTheSame ? before.get(name) : undefined) ?? new Endpoint(endpoint, config, this.#parts);
      known.config = endpoint;
      now.set(name, known);
    }
    this.#endpoints = now.size === 0 ? noEndpoints : now;
    for (const [name, endpoint] of before) if (now.get(name) !== endpoint) this.#letGo(endpoint);
    this.#balancer = createBalancer(config.balance, [...now.values()], this.#parts.random);
    this.#wake(this.waiting);
  }

  /** An endpoint that has room and is not among `tried`, unless there is no other. */
  choose(hashKey: string | undefined, tried: ReadonlySet<string>): Chosen {
    const most = this.#config.maxRequestsPerEndpoint ?? Number.POSITIVE_INFINITY;
    const hasRoom = (endpoint: Endpoint) => endpoint.active < most;
    const isNew = tried.size === 0 ? hasRoom : (endpoint: Endpoint) => hasRoom(endpoint) && !tried.has(endpoint.name);
    const chosen = this.#balancer.choose({ isOpen: isNew, hashKey });
    if (chosen !== undefined) return chosen;
    const again = tried.size === 0 ? undefined : this.#balancer.choose({ isOpen: hasRoom, hashKey });
    if (again !== undefined) return again;
    return this.#balancer.choose({ isOpen: () => true, hashKey }) === undefined ? "none" : "full";
  }

  /** Waits until an endpoint has room. False: too many do. */
  wait(waiter: Waiter): boolean {
    if (this.waiting >= (this.#config.maxWaiting ?? 1024)) return false;
    (this.#waiters ??= new Set()).add(waiter);
    return true;
  }

  leave(waiter: Waiter): void {
    this.#waiters?.delete(waiter);
  }

  /** Resolves when this address has no request under way: at once when it has none now. */
  whenIdle(name: string): Promise<void> {
    const busy = [...this.#endpoints.values(), ...(this.#leaving ?? [])].filter(
      (it) => it.name === name && it.active > 0,
    );
    if (busy.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const look = () => {
        if (busy.some(({ active }) => active > 0)) return;
        this.#onIdle?.delete(look);
        resolve();
      };
      (this.#onIdle ??= new Set()).add(look);
    });
  }

  /** A request is over. */
  release(endpoint: Endpoint): void {
    endpoint.active--;
    if (endpoint.active === 0) {
      this.#leaving?.delete(endpoint);
      for (const look of this.#onIdle ?? []) look();
    }
    if (this.waiting > 0) this.#wake(1);
  }

  retire(): void {
    for (const endpoint of this.#endpoints.values()) this.#letGo(endpoint);
    this.#endpoints = noEndpoints;
    this.#balancer = createBalancer(this.#config.balance, [], this.#parts.random);
    this.#wake(this.waiting);
  }

  #letGo(endpoint: Endpoint): void {
    endpoint.retire();
    if (endpoint.active > 0) (this.#leaving ??= new Set()).add(endpoint);
  }

  #wake(count: number): void {
    for (const waiter of [...(this.#waiters ?? [])].slice(0, count)) {
      this.#waiters?.delete(waiter);
      waiter.onFree();
    }
  }
}

/** What a connection depends on. */
function speechOf({ protocol, tls, connectTimeoutMs, idleTimeoutMs }: ClusterConfig): string {
  return JSON.stringify([protocol, tls, connectTimeoutMs, idleTimeoutMs]);
}
