/**
 * Fairness for callers in this process: requests that are answered from memory need no turn of the event loop, so two parts that keep each other busy would let nobody else run, timers
 * and sockets included. And for everybody: the work on large bodies is done in stages and steps.
 */
import type { TakeSteps } from "#apimachinery/steps.ts";

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
export function betweenStages(context: { readonly takeSteps: TakeSteps }): Promise<void> {
  return context.takeSteps(nothing());
}

function* nothing(): Generator<void, void> {}

/** How long steps may go on in one turn. */
const STEPS_MS = 3;

/** Work that is done in steps: one piece of it in each turn of the event loop, and all who have some are served in a circle. A hundred large bodies at once are no longer turns, only more of them. */
export class StepTurns {
  /** Each job does one piece of its work; true when that was the last. */
  readonly #jobs: (() => boolean)[] = [];

  /** Takes steps to their end and gives what they come to. What goes on behind it is in the same turn as the last step. */
  readonly takeSteps: TakeSteps = <T>(steps: Iterator<void, T>): Promise<T> =>
    new Promise((resolve, reject) => {
      this.#jobs.push(() => {
        try {
          const result = takeSome(steps);
          if (result !== undefined) resolve(result.value);
          return result !== undefined;
        } catch (error) {
          reject(error as Error);
          return true;
        }
      });
      if (this.#jobs.length === 1) setImmediate(() => this.#next());
    });

  #next(): void {
    const job = this.#jobs[0] as () => boolean;
    const isDone = job();
    this.#jobs.shift();
    if (!isDone) this.#jobs.push(job);
    if (this.#jobs.length > 0) setImmediate(() => this.#next());
  }
}

/** Steps for as long as one turn may take. */
function takeSome<T>(steps: Iterator<void, T>): { readonly value: T } | undefined {
  const startedMs = performance.now();
  do {
    const { done, value } = steps.next();
    if (done === true) return { value };
  } while (performance.now() - startedMs < STEPS_MS);
  return undefined;
}
