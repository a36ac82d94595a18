/**
 * Waiting in tests: for conditions, never for times.
 */

/** Resolves once `condition` is true; lets promises and I/O run in between. Throws after many rounds without it. */
export async function until(condition: () => boolean | Promise<boolean>, what = "the condition"): Promise<void> {
  for (let round = 0; round < 5000; round++) {
    if (await condition()) return;
    // On a busy machine the other end of a connection may need a while.
    await new Promise((resolve) => (round < 1000 ? setImmediate(resolve) : setTimeout(resolve, 1)));
  }
  throw new Error(`${what} did not come true`);
}

/** Lets everything that can run without time passing run. */
export async function settle(rounds = 20): Promise<void> {
  for (let round = 0; round < rounds; round++) await new Promise((resolve) => setImmediate(resolve));
}
