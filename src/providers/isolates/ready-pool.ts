/**
 * Cages that wait for pods. One is made after another, in the background and only while nobody starts a pod: making one costs about 100 ms of CPU, which a start that is
 * under way would feel.
 */
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";

export type ReadyPoolOptions<T> = {
  readonly size: number;
  readonly make: () => Promise<T>;
  /** Whether it can still be used: it may have died while it waited. */
  readonly isAlive: (item: T) => boolean;
  /** Whether any are in use: while there are, more may be wanted at any time. */
  readonly isInUse: () => boolean;
  /** Whether a start is under way or will be in a moment. More are made later then, but no later than two seconds after one was taken: starts may follow each other without end. */
  readonly isBusy?: () => boolean;
  /** Takes away what was made and is not needed. */
  readonly discard: (item: T) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** The machine must have been quiet for this long before the next one is made. */
const quietMs = 100;
/** Nobody waits longer for that. */
const longestWaitMs = 2000;
/** After a failure. */
const retryMs = 5_000;
/** Without any in use for so long, those that wait are given up: they cost memory. */
const idleMs = 300_000;

/** Nothing is made before the first {@link ReadyPool.take}, and nothing is kept long after the last one has gone. */
export class ReadyPool<T> {
  readonly #options: ReadyPoolOptions<T>;
  readonly #ready: T[] = [];
  #making: Promise<void> | undefined;
  #timer: Timer | undefined;
  #idleTimer: Timer | undefined;
  /** When more were first wanted, and not made yet. */
  #wantedMs: number | undefined;
  #isStopped = false;

  constructor(options: ReadyPoolOptions<T>) {
    this.#options = options;
  }

  /** One that is ready, or undefined. Either way the pool is filled up again later. */
  take(): T | undefined {
    this.#wantedMs ??= this.#options.clock.now();
    this.#fillLater(quietMs);
    this.#watchIdleness();
    for (let item = this.#ready.shift(); item !== undefined; item = this.#ready.shift()) {
      if (this.#options.isAlive(item)) return item;
      void this.#discard(item);
    }
    return undefined;
  }

  /** How many wait. */
  get count(): number {
    return this.#ready.length;
  }

  /** Puts off making more: a pod is being started. */
  postpone(): void {
    if (this.#timer && this.#mayWait()) this.#fillLater(quietMs);
  }

  /** Takes those that wait away. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.clear();
    this.#idleTimer?.clear();
    await this.#making;
    await Promise.all(this.#ready.splice(0).map((item) => this.#discard(item)));
  }

  #watchIdleness(): void {
    this.#idleTimer?.clear();
    if (this.#isStopped) return;
    this.#idleTimer = this.#options.clock.setTimer(idleMs, () => {
      if (this.#options.isInUse()) return this.#watchIdleness();
      for (const item of this.#ready.splice(0)) void this.#discard(item);
    });
  }

  #fillLater(delayMs: number): void {
    this.#timer?.clear();
    if (this.#isStopped) return;
    this.#timer = this.#options.clock.setTimer(delayMs, () => {
      this.#timer = undefined;
      if (this.#options.isBusy?.() === true && this.#mayWait()) return this.#fillLater(quietMs);
      this.#wantedMs = undefined;
      this.#making ??= this.#fill().finally(() => (this.#making = undefined));
    });
  }

  #mayWait(): boolean {
    const nowMs = this.#options.clock.now();
    return nowMs - (this.#wantedMs ?? nowMs) < longestWaitMs;
  }

  async #fill(): Promise<void> {
    const { size, make, logger } = this.#options;
    while (!this.#isStopped && !this.#timer && this.#ready.length < size) {
      try {
        this.#ready.push(await make());
      } catch (error) {
        logger.warn("Could not start an isolate ahead", { error });
        this.#fillLater(retryMs);
      }
    }
  }

  async #discard(item: T): Promise<void> {
    await this.#options.discard(item).catch((error: unknown) => {
      this.#options.logger.warn("Could not remove an isolate that was started ahead", { error });
    });
  }
}
