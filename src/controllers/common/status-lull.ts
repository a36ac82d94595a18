/**
 * When a status is written. What somebody may wait for (pods became ready, something failed) at once; that work has begun a moment later, with what has come of it by then: such writes would stand in the
 * way of the very work that they tell of, and where pods start within milliseconds most of them are outdated before anybody reads them. Upstream's writes are further apart for other reasons.
 */
import type { Clock } from "#component-base/clock.ts";

const lullMs = 250;

/** The moments of one controller's objects, by key. */
export class StatusLull {
  readonly #clock: Clock;
  readonly #sinceMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long the status of this object is to wait still, in milliseconds; undefined: it is to be written now. */
  leftMs(key: string, isUrgent: boolean): number | undefined {
    const nowMs = this.#clock.now();
    const sinceMs = this.#sinceMs.get(key) ?? nowMs;
    const leftMs = sinceMs + lullMs - nowMs;
    if (isUrgent || leftMs <= 0) {
      this.#sinceMs.delete(key);
      return undefined;
    }
    this.#sinceMs.set(key, sinceMs);
    return leftMs;
  }

  /** Nothing waits to be written any more. */
  end(key: string): void {
    this.#sinceMs.delete(key);
  }
}
