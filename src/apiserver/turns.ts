/**
 * Fairness for callers in this process: requests that are answered from memory need no turn of the event loop, so two parts that keep each other busy would let nobody else run, timers
 * and sockets included. And for everybody: the work on large bodies is done in stages and steps.
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

/** True for what is worked on in stages. */
export function isLarge(context: { readonly bodyBytes?: number }): boolean {
  return (context.bodyBytes ?? 0) >= LARGE_BODY_BYTES;
}

/** Between two stages of a write that {@link isLarge}: lets everything that waits have its turn. Others do not even ask, because waiting for nothing costs each write a microsecond. */
export function betweenStages(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** How long steps may go on in one turn. */
const STEPS_MS = 3;

/** Takes steps to their end, a few milliseconds of them in each turn, and gives what they come to. */
export async function takeSteps<T>(steps: Iterator<void, T>): Promise<T> {
  let startedMs = performance.now();
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    if (performance.now() - startedMs < STEPS_MS) continue;
    await new Promise((resolve) => setImmediate(resolve));
    startedMs = performance.now();
  }
}
