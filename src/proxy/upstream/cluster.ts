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

export class Cluster {
  readonly #parts: ClusterParts;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #waiters = new Set<Waiter>();
  /** Not endpoints any more, with requests still under way. */
  readonly #leaving = new Set<Endpoint>();
  readonly #onIdle = new Set<() => void>();
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
    return this.#waiters.size;
  }

  update(config: ClusterConfig): void {
    const speaksTheSame = speechOf(config) === speechOf(this.#config);
    this.#config = config;
    const kept = new Map(speaksTheSame ? this.#endpoints : []);
    const before = [...this.#endpoints.values()];
    this.#endpoints.clear();
    for (const endpoint of config.endpoints) {
      const name = nameOf(endpoint);
      const known = kept.get(name) ?? new Endpoint(endpoint, config, this.#parts);
      known.config = endpoint;
      this.#endpoints.set(name, known);
    }
    const now = new Set(this.#endpoints.values());
    for (const endpoint of before) if (!now.has(endpoint)) this.#letGo(endpoint);
    this.#balancer = createBalancer(config.balance, [...now], this.#parts.random);
    this.#wake(this.#waiters.size);
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
    if (this.#waiters.size >= (this.#config.maxWaiting ?? 1024)) return false;
    this.#waiters.add(waiter);
    return true;
  }

  leave(waiter: Waiter): void {
    this.#waiters.delete(waiter);
  }

  /** Resolves when this address has no request under way: at once when it has none now. */
  whenIdle(name: string): Promise<void> {
    const busy = [...this.#endpoints.values(), ...this.#leaving].filter((it) => it.name === name && it.active > 0);
    if (busy.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const look = () => {
        if (busy.some(({ active }) => active > 0)) return;
        this.#onIdle.delete(look);
        resolve();
      };
      this.#onIdle.add(look);
    });
  }

  /** A request is over. */
  release(endpoint: Endpoint): void {
    endpoint.active--;
    if (endpoint.active === 0) {
      this.#leaving.delete(endpoint);
      for (const look of this.#onIdle) look();
    }
    if (this.#waiters.size > 0) this.#wake(1);
  }

  retire(): void {
    for (const endpoint of this.#endpoints.values()) this.#letGo(endpoint);
    this.#endpoints.clear();
    this.#balancer = createBalancer(this.#config.balance, [], this.#parts.random);
    this.#wake(this.#waiters.size);
  }

  #letGo(endpoint: Endpoint): void {
    endpoint.retire();
    if (endpoint.active > 0) this.#leaving.add(endpoint);
  }

  #wake(count: number): void {
    for (const waiter of [...this.#waiters].slice(0, count)) {
      this.#waiters.delete(waiter);
      waiter.onFree();
    }
  }
}

/** What a connection depends on. */
function speechOf({ protocol, tls, connectTimeoutMs, idleTimeoutMs }: ClusterConfig): string {
  return JSON.stringify([protocol, tls, connectTimeoutMs, idleTimeoutMs]);
}
