/**
 * The node's one L7 engine, fed by any number of route sources. It listens as long as somebody wants it to, and only once all who have joined by then have told it what they know: after a restart
 * nobody is told that there is nothing at a host that somebody serves.
 */
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { MetricSnapshot } from "#component-base/metrics.ts";
import type { NodeListener } from "#network/ingress/node-listeners.ts";
import type { Hold } from "#proxy/config/hold.ts";
import type { ListenerConfig } from "#proxy/config/listener.ts";
import type { ConfigChange, ConfigProblem, ConfigSink } from "#proxy/config/route-source.ts";
import type { SpanRecorder } from "#proxy/exchange/exchange-parts.ts";
import { ProxyEngine } from "#proxy/engine.ts";
import type { ClusterLoad } from "#proxy/observe/cluster-loads.ts";
import { defaultCertificate } from "./default-certificate.ts";
import type { Place } from "./l7-places.ts";
import { type SharedListener, sharedListeners } from "./shared-listeners.ts";

/** What requests that are under way get to end when the process stops. */
const drainMs = 5000;
/** How long those who are ready wait for those who are not. */
const patienceMs = 3000;

export type L7EngineOptions = {
  /** Opens a shared listener wherever it can be had; again when it is wanted again. */
  readonly open: (listener: SharedListener) => Promise<readonly Place[]>;
  /** Called when nobody wants the listener any more. */
  readonly release: (listener: SharedListener) => void;
  /** Told where requests are taken, whenever that has changed. */
  readonly onListening: (addresses: readonly NodeListener[]) => void;
  /** Told of requests that are traced; stops with the engine. */
  readonly spans?: (SpanRecorder & Pick<Service, "stop">) | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** What a source wants to be listened at. */
export type Wants = {
  readonly shared: readonly SharedListener[];
  /** Listeners of its own. */
  readonly own?: readonly ListenerConfig[];
};

/** A source's place at the engine. */
export interface Seat {
  /** The engine knows all that the source knows. Resolves when its listeners take requests, as far as they can be had. Called once. */
  ready(): Promise<void>;
  /** The source is no more. What it has set is its own to remove. */
  leave(): Promise<void>;
}

type Member = { readonly wants: Wants; isReady: boolean };

export class L7Engine implements ConfigSink {
  readonly #options: L7EngineOptions;
  readonly #holds = new Map<string, Hold>();
  readonly #engine: ProxyEngine;
  readonly #members = new Map<string, Member>();
  readonly #open = new Map<SharedListener, readonly Place[]>();
  /** One change of the listeners at a time. */
  #turn: Promise<void> = Promise.resolve();
  #patience: "whole" | "running" | "over" = "whole";
  #isStopped = false;

  constructor(options: L7EngineOptions) {
    this.#options = options;
    this.#engine = new ProxyEngine({
      clock: options.clock,
      holds: this.#holds,
      drainMs,
      ...(options.spans && { spans: options.spans }),
    });
  }

  /** Holds are known by their names before routes name them. */
  addHold(name: string, hold: Hold): void {
    this.#holds.set(name, hold);
  }

  apply(changes: readonly ConfigChange[]): Promise<readonly ConfigProblem[]> {
    return this.#engine.apply(changes);
  }

  /** As {@link ProxyEngine.takeLoads}. For one caller. */
  takeLoads(): ClusterLoad[] {
    return this.#engine.takeLoads();
  }

  /** As {@link ProxyEngine.waitingAt}. */
  waitingAt(cluster: string): number {
    return this.#engine.waitingAt(cluster);
  }

  /** As {@link ProxyEngine.whenIdle}. */
  whenIdle(cluster: string, endpoint: string): Promise<void> {
    return this.#engine.whenIdle(cluster, endpoint);
  }

  metrics(): MetricSnapshot[] {
    return this.#engine.metrics();
  }

  /** Takes a seat for the source of this name, before it tells the engine anything. */
  join(name: string, wants: Wants): Seat {
    const member: Member = { wants, isReady: false };
    this.#members.set(name, member);
    return {
      ready: () => {
        member.isReady = true;
        return this.#arrange();
      },
      leave: () => {
        this.#members.delete(name);
        for (const { name: own } of wants.own ?? [])
          void this.#engine.apply([{ remove: { kind: "listener", name: own } }]); // finds nothing wrong with a removal
        return this.#arrange();
      },
    };
  }

  /** Requests under way end; those who connect meanwhile wait for the next process. May be called twice. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#turn;
    await this.#engine.stop();
    await this.#options.spans?.stop();
  }

  #arrange(): Promise<void> {
    this.#turn = this.#turn.then(() => this.#settle());
    return this.#turn;
  }

  /** Opens what is wanted, and closes what no longer is. Never rejects. */
  async #settle(): Promise<void> {
    const members = [...this.#members.values()];
    const { logger } = this.#options;
    if (this.#isStopped) return;
    const isMixed = members.some(({ isReady }) => isReady) && members.some(({ isReady }) => !isReady);
    if (isMixed && this.#patience !== "over") return this.#wait();
    try {
      for (const listener of ["http", "https"] as const) {
        const isWanted = members.some(({ isReady, wants }) => isReady && wants.shared.includes(listener));
        if (isWanted && !this.#open.has(listener)) await this.#listen(listener);
        else if (!isWanted && this.#open.has(listener)) await this.#unlisten(listener);
      }
      const own = members.filter(({ isReady }) => isReady).flatMap(({ wants }) => wants.own ?? []);
      await this.#set(own);
    } catch (error) {
      logger.error("Could not take requests", { error });
    }
  }

  #wait(): void {
    if (this.#patience === "running") return;
    this.#patience = "running";
    this.#options.clock.setTimer(patienceMs, () => {
      this.#patience = "over";
      void this.#arrange(); // never rejects
    });
  }

  async #listen(listener: SharedListener): Promise<void> {
    const places = await this.#options.open(listener);
    this.#open.set(listener, places);
    const tls = listener === "https" ? { tls: await this.#tls() } : {};
    await this.#set(
      places.map(({ address, fileDescriptor }) => ({
        name: `${sharedListeners[listener]}@${address}`,
        routesOf: sharedListeners[listener],
        address: { fileDescriptor },
        ...tls,
      })),
    );
    for (const { address, port } of places) this.#options.logger.info("Took requests", { listener, address, port });
    this.#tell();
  }

  async #unlisten(listener: SharedListener): Promise<void> {
    const places = this.#open.get(listener) ?? [];
    this.#open.delete(listener);
    await this.#engine.apply(
      places.map(({ address }) => ({ remove: { kind: "listener", name: `${sharedListeners[listener]}@${address}` } })),
    );
    this.#options.release(listener);
    this.#tell();
  }

  async #tls(): Promise<NonNullable<ListenerConfig["tls"]>> {
    const config = defaultCertificate(this.#options.clock);
    await this.#engine.apply([{ set: { kind: "certificate", config } }]);
    return { certificates: [config.name], showsAll: true };
  }

  async #set(listeners: readonly ListenerConfig[]): Promise<void> {
    const problems = await this.#engine.apply(listeners.map((config) => ({ set: { kind: "listener", config } })));
    for (const problem of problems) this.#options.logger.error("Could not listen", { ...problem });
  }

  #tell(): void {
    const byAddress = new Map<string, NodeListener>();
    for (const [listener, places] of this.#open)
      for (const { address, port } of places)
        byAddress.set(address, { ...(byAddress.get(address) ?? { address }), [`${listener}Port`]: port });
    this.#options.onListening([...byAddress.values()]);
  }
}
