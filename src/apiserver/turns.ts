/**
 * Fairness for callers in this process: requests that are answered from memory need no turn of the event loop, so two parts that keep each other busy would let nobody else run, timers
 * and sockets included.
 */

/** How many requests one turn of the event loop may serve. */
const REQUESTS_PER_TURN = 32;

/** Counts the requests of a turn. */
export class Turns {
  #served = 0;

  /** Waits for the next turn when this one has had its share. */
  take(): Promise<void> | undefined {
    if (this.#served++ === 0) setImmediate(() => (this.#served = 0));
    if (this.#served <= REQUESTS_PER_TURN) return undefined;
    return new Promise((resolve) => setImmediate(resolve));
  }
}

/** Bodies above this are work enough to make room for others between its stages. */
const LARGE_BODY_BYTES = 128 * 1024;

/** Between two stages of a write: lets everything that waits have its turn when the body was large. Undefined when there is nothing to wait for. */
export function betweenStages(context: { readonly bodyBytes?: number }): Promise<void> | undefined {
  if ((context.bodyBytes ?? 0) < LARGE_BODY_BYTES) return undefined;
  return new Promise((resolve) => setImmediate(resolve));
}
