/**
 * Readings of all nodes, taken while somebody asks. The newest one is at most {@link freshMs} old; the one that it is compared with is about {@link windowMs} older, as
 * metrics-server's are. Whoever asks first after a pause waits a second between two readings. Nothing runs, and soon nothing is kept, when nobody asks.
 */
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { NodeReading } from "./resource-text.ts";

/** Two readings of a node to compare; `earlier` is missing when it answered only once. */
export type ReadingPair = { readonly earlier: NodeReading | undefined; readonly later: NodeReading };

export type NodeReadingsOptions = {
  /** Names of all nodes. */
  readonly nodes: () => Promise<readonly string[]>;
  readonly read: (node: string, signal: AbortSignal) => Promise<NodeReading>;
  readonly clock: Clock;
  readonly logger: Logger;
};

type Round = { readonly atMs: number; readonly nodes: ReadonlyMap<string, NodeReading> };

const freshMs = 5_000;
const windowMs = 15_000;
/** Older ones say nothing about now. */
const oldestMs = 60_000;
const firstPauseMs = 1_000;
/** A node that does not answer within this is left out. */
const patienceMs = 5_000;
const forgetMs = 120_000;

/** Asks nodes, and remembers what they said for a while. */
export class NodeReadings {
  readonly #options: NodeReadingsOptions;
  /** Oldest first. */
  #rounds: readonly Round[] = [];
  #running: Promise<void> | undefined;
  #forgetting: Timer | undefined;

  constructor(options: NodeReadingsOptions) {
    this.#options = options;
  }

  /** What to compare, by node. Nodes that cannot be read are not in it. */
  async pairs(): Promise<ReadonlyMap<string, ReadingPair>> {
    await this.#refresh();
    const later = this.#rounds.at(-1);
    const earlier = this.#earlier();
    const entries = [...(later?.nodes ?? [])].map(([name, reading]): [string, ReadingPair] => [
      name,
      { earlier: earlier?.nodes.get(name), later: reading },
    ]);
    return new Map(entries);
  }

  /** Whoever asks while a look is under way waits for that one. */
  #refresh(): Promise<void> {
    this.#running ??= this.#look().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #look(): Promise<void> {
    const { clock } = this.#options;
    this.#forgetting?.clear();
    this.#forgetting = clock.setTimer(forgetMs, () => (this.#rounds = []));
    const newest = this.#rounds.at(-1);
    if (!newest || clock.now() - newest.atMs >= freshMs) await this.#take();
    if (this.#earlier() !== undefined) return;
    await clock.sleep(firstPauseMs);
    await this.#take();
  }

  /** The newest one that is a whole window older than the last, else the oldest there is. */
  #earlier(): Round | undefined {
    const before = this.#rounds.slice(0, -1);
    const lastMs = this.#rounds.at(-1)?.atMs ?? 0;
    return before.findLast(({ atMs }) => lastMs - atMs >= windowMs) ?? before[0];
  }

  async #take(): Promise<void> {
    const { nodes, clock } = this.#options;
    const atMs = clock.now();
    const names = await nodes();
    const readings = await Promise.all(names.map(async (name) => [name, await this.#read(name)] as const));
    const known = readings.flatMap(([name, reading]): [string, NodeReading][] => (reading ? [[name, reading]] : []));
    const recent = this.#rounds.filter((round) => atMs - round.atMs <= oldestMs);
    this.#rounds = [...recent, { atMs, nodes: new Map(known) }];
  }

  async #read(node: string): Promise<NodeReading | undefined> {
    const { read, clock, logger } = this.#options;
    const stop = new AbortController();
    const timer = clock.setTimer(patienceMs, () => stop.abort(new Error("the node did not answer in time")));
    try {
      return await read(node, stop.signal);
    } catch (error) {
      logger.debug("Could not read usage of node", { node, error });
      return undefined;
    } finally {
      timer.clear();
    }
  }
}
