/**
 * Random choices that can be made again: all of a run follows from its seed.
 */

/** A source of them. */
export type Random = {
  /** From 0 up to 1. */
  readonly next: () => number;
  /** From `low` to `high`, both included. */
  readonly integer: (low: number, high: number) => number;
  readonly pick: <T>(choices: readonly T[]) => T;
};

/** The choices of a seed (mulberry32). */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (low: number, high: number) => low + Math.floor(next() * (high - low + 1));
  return {
    next,
    integer,
    pick: (choices) => {
      if (choices.length === 0) throw new Error("nothing to pick from");
      return choices[integer(0, choices.length - 1)] as (typeof choices)[number];
    },
  };
}
