/**
 * Work that is too much for one turn of the event loop comes as a generator: each step is short, and whoever runs it decides what happens between two of them.
 */

/** Takes steps to their end, with turns for others between, and gives what they come to. */
export type TakeSteps = <T>(steps: Iterator<void, T>) => Promise<T>;

/** Takes steps to their end in this turn. */
export function takeAtOnce<T>(steps: Iterator<void, T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}
