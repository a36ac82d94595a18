/**
 * A queue of keys to work on, as client-go's rate-limited work queue: a key waits at most once, is never worked on twice at the same time, and one that failed waits
 * longer each time.
 */
import type { Clock, Timer } from "#component-base/clock.ts";

/** Waits after failures: doubled each time from `baseDelayMs` to `maxDelayMs`. Defaults as client-go: 5 ms to 1000 s. */
export type WorkQueueOptions = { readonly clock: Clock; readonly baseDelayMs?: number; readonly maxDelayMs?: number };

export class WorkQueue {
  readonly #clock: Clock;
  readonly #baseDelayMs: number;
  readonly #maxDelayMs: number;
  /** Keys that wait, in order. */
  readonly #queued = new Set<string>();
  readonly #processing = new Set<string>();
  /** Keys that were added again while they were worked on. */
  readonly #dirty = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #delayed = new Map<string, { readonly dueMs: number; readonly timer: Timer }>();
  #listener: () => void = () => {};
  #isShutDown = false;

  constructor(options: WorkQueueOptions) {
    this.#clock = options.clock;
    this.#baseDelayMs = options.baseDelayMs ?? 5;
    this.#maxDelayMs = options.maxDelayMs ?? 1_000_000;
  }

  /** How many keys wait and could be taken now. */
  get length(): number {
    return this.#queued.size;
  }

  /** True when no key waits or is worked on. Keys whose time has not come do not count. */
  get isIdle(): boolean {
    return this.#queued.size === 0 && this.#processing.size === 0;
  }

  /** Registers the one listener that is told when a key can be taken. */
  onAvailable(listener: () => void): void {
    this.#listener = listener;
  }

  /** Queues the key, unless it waits already. One that is being worked on is queued again when done. */
  add(key: string): void {
    if (this.#isShutDown || this.#queued.has(key)) return;
    if (this.#processing.has(key)) {
      this.#dirty.add(key);
      return;
    }
    this.#queued.add(key);
    this.#listener();
  }

  /** Queues the key after `delayMs`. Of several delays the shortest counts. */
  addAfter(key: string, delayMs: number): void {
    if (this.#isShutDown) return;
    if (delayMs <= 0) return this.add(key);
    const dueMs = this.#clock.now() + delayMs;
    const earlier = this.#delayed.get(key);
    if (earlier !== undefined && earlier.dueMs <= dueMs) return;
    earlier?.timer.clear();
    // Timers beyond 2^31 ms fire at once in Node; a day is long enough to look again.
    const timer = this.#clock.setTimer(Math.min(delayMs, 86_400_000), () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { dueMs, timer });
  }

  /** Queues the key after a wait that grows with each failure since {@link forget}. */
  addRateLimited(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.addAfter(key, Math.min(this.#baseDelayMs * 2 ** failures, this.#maxDelayMs));
  }

  /** The key went well: its next failure waits the shortest time again. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** How often the key failed since it last went well. */
  failuresOf(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next key, or undefined. Call {@link done} when finished with it. */
  take(): string | undefined {
    const [key] = this.#queued;
    if (key === undefined) return undefined;
    this.#queued.delete(key);
    this.#processing.add(key);
    return key;
  }

  /** Ends the work on a key that was taken. */
  done(key: string): void {
    this.#processing.delete(key);
    if (this.#dirty.delete(key)) this.add(key);
  }

  /** Takes no more keys and forgets those that wait. */
  shutDown(): void {
    this.#isShutDown = true;
    for (const { timer } of this.#delayed.values()) timer.clear();
    this.#delayed.clear();
    this.#queued.clear();
    this.#dirty.clear();
  }
}
