/**
 * The engine on several threads: all of them listen on the same ports (SO_REUSEPORT), and the kernel spreads the connections. Configuration goes to all; holds are asked here. A thread that dies takes
 * its connections with it, is started again and told everything that is in force.
 */
import type { Logger } from "#component-base/logger.ts";
import { type MetricSnapshot, sumSnapshots } from "#component-base/metrics.ts";
import type { Hold, HoldLimits } from "#proxy/config/hold.ts";
import type { ConfigChange, ConfigProblem, ConfigSink, Resource } from "#proxy/config/route-source.ts";
import { type ClusterLoad, sumLoads } from "#proxy/observe/cluster-loads.ts";
import type { ThreadAnswer, ThreadData } from "./messages.ts";
import { ProxyThread, ThreadEnded } from "./proxy-thread.ts";

export type ProxyThreadsOptions = {
  /** At least 1. */
  readonly threads: number;
  readonly log: Logger;
  /** By name. */
  readonly holds?: ReadonlyMap<string, Hold>;
  readonly holdLimits?: Partial<HoldLimits>;
  /** All threads append lines to it. */
  readonly accessLogFileDescriptor?: number;
  /** Default 30 s. */
  readonly drainMs?: number;
  /** Default {@link ProxyThread}'s constructor. */
  readonly startThread?: (...parts: ConstructorParameters<typeof ProxyThread>) => ProxyThread;
};

/** A thread that cannot even start is not started for ever. */
const MOST_STARTS = 20;

export class ProxyThreads implements ConfigSink {
  readonly #options: ProxyThreadsOptions;
  readonly #inForce = new Map<string, Resource>();
  readonly #ports = new Map<string, number>();
  #threads: ProxyThread[] = [];
  #turn: Promise<unknown> = Promise.resolve();
  #isStopping = false;
  #starts = 0;

  constructor(options: ProxyThreadsOptions) {
    this.#options = options;
  }

  /** Threads start at once and are ready with the first answer. */
  start(): void {
    this.#threads = Array.from({ length: this.#options.threads }, () => this.#startThread());
  }

  /** One after the other, so that all threads see the same order. */
  apply(changes: readonly ConfigChange[]): Promise<readonly ConfigProblem[]> {
    const applied = this.#turn.then(() => this.#apply(changes));
    this.#turn = applied.catch(() => {}); // told to whoever applied it
    return applied;
  }

  portOf(listener: string): number {
    return this.#ports.get(listener) ?? 0;
  }

  /** What all threads counted together. */
  async metrics(): Promise<MetricSnapshot[]> {
    const answers = await Promise.all(this.#threads.map((thread) => answerOf(thread.ask({ kind: "metrics" }))));
    return sumSnapshots(answers.map(({ metrics = [] }) => metrics));
  }

  /** As {@link ProxyEngine.takeLoads}, of all threads together. */
  async takeLoads(): Promise<ClusterLoad[]> {
    const answers = await Promise.all(this.#threads.map((thread) => answerOf(thread.ask({ kind: "loads" }))));
    return sumLoads(answers.map(({ loads = [] }) => loads));
  }

  /** As {@link ProxyEngine.stop}. */
  async stop(graceMs: number = this.#options.drainMs ?? 30_000): Promise<void> {
    this.#isStopping = true;
    const threads = this.#threads.splice(0);
    await Promise.all(threads.map((thread) => answerOf(thread.ask({ kind: "stop", graceMs }))));
    await Promise.all(threads.map((thread) => thread.end()));
  }

  async #apply(changes: readonly ConfigChange[]): Promise<readonly ConfigProblem[]> {
    const [first, ...others] = this.#threads;
    if (first === undefined) return [];
    // The first one finds out which ports there are and what is wrong; the others get the same.
    const { problems = [], ports = {} } = await answerOf(first.ask({ kind: "apply", changes }));
    for (const [listener, port] of Object.entries(ports)) this.#ports.set(listener, port);
    const isGood = (resource: Resource) =>
      !problems.some(({ kind, name }) => kind === resource.kind && name === resource.config.name);
    const good = changes
      .filter((change) => !("set" in change) || isGood(change.set))
      .map((change) => ("set" in change ? { set: this.#withPort(change.set) } : change));
    for (const change of good) this.#remember(change);
    const shared = good.filter(isShared);
    const more = await Promise.all(others.map((thread) => answerOf(thread.ask({ kind: "apply", changes: shared }))));
    return [...problems, ...more.flatMap((answer) => answer.problems ?? [])];
  }

  #remember(change: ConfigChange): void {
    if ("set" in change) this.#inForce.set(`${change.set.kind}/${change.set.config.name}`, change.set);
    else this.#inForce.delete(`${change.remove.kind}/${change.remove.name}`);
  }

  #withPort(resource: Resource): Resource {
    if (resource.kind !== "listener" || !("host" in resource.config.address)) return resource;
    const { address, name } = resource.config;
    const port = address.port === 0 ? this.portOf(name) : address.port;
    return { kind: "listener", config: { ...resource.config, address: { ...address, port } } };
  }

  #startThread(): ProxyThread {
    this.#starts++;
    const { holds = new Map(), holdLimits = {}, accessLogFileDescriptor, drainMs = 30_000 } = this.#options;
    const data: ThreadData = { holds: [...holds.keys()], holdLimits, accessLogFileDescriptor, drainMs };
    const start = this.#options.startThread ?? ((...parts) => new ProxyThread(...parts));
    const thread: ProxyThread = start(data, holds, (error) => this.#onExit(thread, error));
    return thread;
  }

  #onExit(thread: ProxyThread, error: Error | undefined): void {
    const at = this.#threads.indexOf(thread);
    if (this.#isStopping || at < 0) return;
    const { log } = this.#options;
    log.error("Thread of the proxy ended", { thread: at, error });
    if (this.#starts > MOST_STARTS) return log.error("Gave up a thread of the proxy", { thread: at });
    const next = this.#startThread();
    this.#threads[at] = next;
    const told = this.#turn.then(() => {
      const all = [...this.#inForce.values()].map((set) => ({ set }));
      return answerOf(next.ask({ kind: "apply", changes: at === 0 ? all : all.filter(isShared) }));
    });
    this.#turn = told.catch(() => {}); // told to whoever told them
  }
}

/** A file descriptor cannot be listened on twice; the first thread has it. */
function isShared(change: ConfigChange): boolean {
  return !("set" in change && change.set.kind === "listener" && "fileDescriptor" in change.set.config.address);
}

/** A thread that ended answers nothing; the one after it is told everything anyway. */
async function answerOf(asked: Promise<ThreadAnswer>): Promise<ThreadAnswer> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ThreadEnded) return {};
    throw error;
  }
}
