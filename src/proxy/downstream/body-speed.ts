/**
 * Notices bodies that trickle on purpose: less than so many bytes a second over the time in which we were ready to read.
 */
import type { Clock } from "#component-base/clock.ts";

/** Nobody is judged before this. */
const GRACE_MS = 10_000;

export class BodySpeed {
  readonly #bytesPerSecond: number;
  readonly #clock: Clock;
  #bytes = 0;
  #readyMs = 0;
  /** Since when we are ready; undefined while we are not. */
  #sinceMs: number | undefined;

  constructor(bytesPerSecond: number, clock: Clock) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#clock = clock;
    this.#sinceMs = clock.now();
  }

  pause(): void {
    if (this.#sinceMs !== undefined) this.#readyMs += this.#clock.now() - this.#sinceMs;
    this.#sinceMs = undefined;
  }

  resume(): void {
    this.#sinceMs ??= this.#clock.now();
  }

  /** So many bytes came. */
  isTooSlow(bytes: number): boolean {
    this.#bytes += bytes;
    const nowMs = this.#clock.now();
    const readyMs = this.#readyMs + (this.#sinceMs === undefined ? 0 : nowMs - this.#sinceMs);
    return readyMs > GRACE_MS && this.#bytes * 1000 < this.#bytesPerSecond * readyMs;
  }
}
