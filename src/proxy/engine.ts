/**
 * The engine of one thread: holds the configuration that is in force, its listeners, and everything that requests need. `apply` changes resources one by one; requests that are under way keep the rule
 * that they began with.
 */
import type { Clock, Timer } from "#component-base/clock.ts";
import type { MetricSnapshot } from "#component-base/metrics.ts";
import { findProblem } from "./config/check-config.ts";
import type { Hold, HoldLimits } from "./config/hold.ts";
import type { ListenerConfig } from "./config/listener.ts";
import type { RouteConfig } from "./config/route.ts";
import type { ConfigChange, ConfigProblem, ConfigSink, Resource, ResourceKind } from "./config/route-source.ts";
import { Certificates } from "./downstream/certificates.ts";
import { Listener } from "./downstream/listener.ts";
import { Exchange } from "./exchange/exchange.ts";
import type { ExchangeParts, SpanRecorder } from "./exchange/exchange-parts.ts";
import { HoldGate } from "./exchange/hold-gate.ts";
import { Deadlines } from "./message/deadlines.ts";
import type { AccessLog } from "./observe/access-log.ts";
import { type ClusterLoad, ClusterLoads } from "./observe/cluster-loads.ts";
import { ProxyMetrics } from "./observe/proxy-metrics.ts";
import { KnownRoute } from "./routing/known-route.ts";
import { RouteTable } from "./routing/route-table.ts";
import { Cluster } from "./upstream/cluster.ts";
import type { ClusterParts } from "./upstream/endpoint.ts";
import { ReadBuffer } from "./upstream/read-buffer.ts";

export type EngineOptions = {
  readonly clock: Clock;
  /** By name. */
  readonly holds?: ReadonlyMap<string, Hold>;
  readonly holdLimits?: Partial<HoldLimits>;
  readonly accessLog?: AccessLog;
  readonly spans?: SpanRecorder;
  /** In [0, 1). Default Math.random. */
  readonly random?: () => number;
  /** Other threads listen on the same ports. Default false. */
  readonly isShared?: boolean;
  /** How long connections of a listener that goes may take to end, in ms. Default 30 s. */
  readonly drainMs?: number;
};

/** Kinds in the order in which they are set; they are removed the other way round. So nothing ever points to what is not there yet. */
const order: readonly ResourceKind[] = ["certificate", "cluster", "route", "listener"];

/** After one to two of these the rules of hosts that nobody asked for are let go. */
const REST_MS = 12_000;

export class ProxyEngine implements ConfigSink {
  readonly #options: EngineOptions;
  readonly #deadlines: Deadlines;
  readonly #metrics = new ProxyMetrics();
  readonly #loads = new ClusterLoads();
  readonly #certificates = new Certificates();
  readonly #clusters = new Map<string, Cluster>();
  readonly #routes = new Map<string, KnownRoute>();
  readonly #listeners = new Map<string, Listener>();
  /** Also of listeners that are not there yet. */
  readonly #tables = new Map<string, RouteTable>();
  readonly #stopping = new Set<Promise<void>>();
  readonly #holds: HoldGate;
  readonly #clusterParts: ClusterParts;
  #resting: Timer | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
    const { clock, holds = new Map(), holdLimits = {} } = options;
    this.#deadlines = new Deadlines(clock);
    const random = options.random ?? Math.random;
    this.#clusterParts = { deadlines: this.#deadlines, readBuffer: new ReadBuffer(), random };
    this.#holds = new HoldGate(holds, { metrics: this.#metrics, clock, limits: holdLimits });
  }

  async apply(changes: readonly ConfigChange[]): Promise<readonly ConfigProblem[]> {
    const problems: ConfigProblem[] = [];
    for (const kind of order)
      for (const change of changes)
        if ("set" in change && change.set.kind === kind) await this.#set(change.set, problems);
    for (const kind of [...order].reverse())
      for (const change of changes)
        if ("remove" in change && change.remove.kind === kind) this.#remove(kind, change.remove.name);
    return problems;
  }

  /** The port of a listener that was told to take any. */
  portOf(listener: string): number {
    return this.#listeners.get(listener)?.port ?? 0;
  }

  metrics(): MetricSnapshot[] {
    return this.#metrics.snapshot();
  }

  /** How busy clusters were since the last call, for whoever scales them. */
  takeLoads(): ClusterLoad[] {
    return this.#loads.take(this.#options.clock.now());
  }

  /** Requests that wait for a place at one of the cluster's endpoints. */
  waitingAt(cluster: string): number {
    return this.#clusters.get(cluster)?.waiting ?? 0;
  }

  /** Resolves when this endpoint ("address:port") of a cluster has no request under way: at once when it has none, or is not known. */
  whenIdle(cluster: string, endpoint: string): Promise<void> {
    return this.#clusters.get(cluster)?.whenIdle(endpoint) ?? Promise.resolve();
  }

  /** Lets requests end, for `graceMs` at most, and frees everything. May be called twice. */
  async stop(graceMs: number = this.#options.drainMs ?? 30_000): Promise<void> {
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    await Promise.all([...listeners.map((listener) => listener.stop(graceMs)), ...this.#stopping]);
    for (const cluster of this.#clusters.values()) cluster.retire();
    this.#clusters.clear();
    this.#resting?.clear();
    this.#deadlines.stop();
  }

  async #set(resource: Resource, problems: ConfigProblem[]): Promise<void> {
    if (this.#isInForce(resource)) return;
    const message = findProblem(resource) ?? (await this.#trySet(resource));
    if (message !== undefined) problems.push({ kind: resource.kind, name: resource.config.name, message });
  }

  #isInForce({ kind, config }: Resource): boolean {
    if (kind === "route") return this.#routes.get(config.name)?.says(config) === true;
    const known = this.#configOf(kind, config.name);
    return known !== undefined && JSON.stringify(known) === JSON.stringify(config);
  }

  #configOf(kind: "certificate" | "cluster" | "listener", name: string): object | undefined {
    if (kind === "certificate") return this.#certificates.configOf(name);
    return (kind === "cluster" ? this.#clusters : this.#listeners).get(name)?.config;
  }

  /** What went wrong, in the words of whoever noticed. */
  async #trySet(resource: Resource): Promise<string | undefined> {
    try {
      switch (resource.kind) {
        case "certificate":
          this.#certificates.set(resource.config);
          return undefined;
        case "cluster":
          this.#setCluster(resource.config);
          return undefined;
        case "route":
          this.#setRoute(resource.config);
          return undefined;
        default:
          await this.#setListener(resource.config);
          return undefined;
      }
    } catch (error) {
      return (error as Error).message;
    }
  }

  #setCluster(config: Cluster["config"]): void {
    const known = this.#clusters.get(config.name);
    if (known !== undefined) known.update(config);
    else this.#clusters.set(config.name, new Cluster(config, this.#clusterParts));
  }

  #setRoute(config: RouteConfig): void {
    const before = this.#routes.get(config.name);
    const route = new KnownRoute(config);
    this.#routes.set(route.name, route);
    for (const listener of route.listeners) this.#tableOf(listener).set(route);
    for (const listener of before?.listeners ?? [])
      if (!route.listeners.includes(listener)) this.#tableOf(listener).remove(route.name);
  }

  /** A listener on another address takes connections there before the old one stops. */
  async #setListener(config: ListenerConfig): Promise<void> {
    const before = this.#listeners.get(config.name);
    if (before !== undefined && placeOf(before.config) === placeOf(config)) return before.update(config);
    const listener = new Listener(config, {
      clock: this.#options.clock,
      deadlines: this.#deadlines,
      metrics: this.#metrics,
      certificates: this.#certificates,
      carry: (client) => new Exchange(parts, client),
      isShared: this.#options.isShared ?? false,
    });
    const parts = this.#exchangeParts(config.routesOf ?? config.name);
    await listener.start();
    this.#listeners.set(config.name, listener);
    if (before !== undefined) this.#letGo(before);
  }

  #exchangeParts(listener: string): ExchangeParts {
    const { clock, accessLog, spans, random = Math.random } = this.#options;
    return {
      routes: this.#tableOf(listener),
      clusters: this.#clusters,
      holds: this.#holds,
      metrics: this.#metrics,
      loads: this.#loads,
      deadlines: this.#deadlines,
      accessLog,
      spans,
      clock,
      random,
    };
  }

  #letGo(listener: Listener): void {
    const stopped = listener.stop(this.#options.drainMs ?? 30_000);
    this.#stopping.add(stopped);
    void stopped.finally(() => this.#stopping.delete(stopped));
  }

  #tableOf(listener: string): RouteTable {
    const table = this.#tables.get(listener) ?? new RouteTable(() => this.#restLater());
    this.#tables.set(listener, table);
    return table;
  }

  /** What nobody asks for any more is let go. */
  #restLater(): void {
    this.#resting ??= this.#options.clock.setTimer(REST_MS, () => {
      this.#resting = undefined;
      const awake = [...this.#tables.values()].filter((table) => table.rest());
      if (awake.length > 0) this.#restLater();
    });
  }

  #remove(kind: ResourceKind, name: string): void {
    if (kind === "certificate") return this.#certificates.remove(name);
    if (kind === "route") return this.#removeRoute(name);
    if (kind === "cluster") {
      this.#clusters.get(name)?.retire();
      this.#clusters.delete(name);
      this.#metrics.forgetCluster(name);
      return;
    }
    const listener = this.#listeners.get(name);
    this.#listeners.delete(name);
    if (listener !== undefined) this.#letGo(listener);
  }

  #removeRoute(name: string): void {
    const route = this.#routes.get(name);
    this.#routes.delete(name);
    for (const listener of route?.listeners ?? []) this.#tableOf(listener).remove(name);
    this.#metrics.forgetRoute(name);
  }
}

/** What of a listener only another one can have. */
function placeOf({ address, routesOf }: ListenerConfig): string {
  return JSON.stringify([address, routesOf]);
}
