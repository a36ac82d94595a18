/**
 * Waiting times that double: for containers that crash and images that cannot be pulled. 10 s at first, 300 s at most, forgotten after twice the most without trouble.
 * As client-go's flowcontrol.Backoff with kubelet's figures.
 */
import type { Clock } from "#component-base/clock.ts";

const initialMs = 10_000;
const maxMs = 300_000;

type Entry = { backoffMs: number; updatedMs: number };

/** Backoffs by key. */
export class Backoff {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long is left to wait, in ms, for something that failed at `sinceMs`; 0 when it may be tried now. */
  remainingMs(key: string, sinceMs: number): number {
    const entry = this.#entries.get(key);
    if (!entry) return 0;
    if (sinceMs - entry.updatedMs > 2 * maxMs) return 0;
    return Math.max(0, sinceMs + entry.backoffMs - this.#clock.now());
  }

  /** The wait that holds just now, in ms. */
  currentMs(key: string): number {
    return this.#entries.get(key)?.backoffMs ?? 0;
  }

  /** It is tried again (or failed again): the next wait is twice as long. */
  next(key: string, eventMs: number): void {
    const entry = this.#entries.get(key);
    const isFresh = !entry || eventMs - entry.updatedMs > 2 * maxMs;
    const backoffMs = isFresh ? initialMs : Math.min(entry.backoffMs * 2, maxMs);
    this.#entries.set(key, { backoffMs, updatedMs: this.#clock.now() });
  }

  /** When it was last lengthened, in ms since 1970. */
  updatedMs(key: string): number {
    return this.#entries.get(key)?.updatedMs ?? 0;
  }

  /** It went well, or is gone. */
  forget(key: string): void {
    this.#entries.delete(key);
  }
}
