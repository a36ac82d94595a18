/**
 * Whether anything grew that should not, from samples taken at rest: after each round of load, when what was made has been deleted and the processes have come to themselves.
 * What is compared was all taken in the same state, so little noise has to be allowed for, and a leak that a busy process would hide shows.
 */
import type { Sample } from "./soak-meter.ts";

/** Half of the rounds must be this much higher than the other half to be growth: a share of what there was, and MB. */
const bounds = {
  // What malloc and V8 keep differs from rest to rest.
  controlPlaneMB: { share: 0.05, spare: 8 },
  nodeMB: { share: 0.05, spare: 6 },
  storeMB: { share: 0.05, spare: 4 },
} as const;
/** And the end above the beginning. The store's file is left out: it never shrinks, and holds five minutes of history once there were some. */
const returnBounds = { controlPlaneMB: { share: 0.2, spare: 15 }, nodeMB: { share: 0.2, spare: 15 } } as const;
/** A kept connection more or less. */
const spareFiles = 4;
/** In minutes of load: caches have filled, and the store's history is as long as it gets. */
const settledAfter = 7;
/** Rests after that, at least, for a verdict on memory. */
const fewestRests = 4;

/** What grew, in words; empty when nothing did. The first of the rests was taken after a round that only warmed up. */
export function findGrowth(rests: readonly Sample[]): string[] {
  const [first, last] = [rests[0], rests.at(-1)];
  if (first === undefined || last === undefined || first === last) return ["there is nothing to compare"];
  const problems: string[] = [];
  for (const name of ["controlPlaneFiles", "nodeFiles"] as const)
    if (last[name] > first[name] + spareFiles) problems.push(`${name}: ${first[name]} before, ${last[name]} after`);
  for (const [name, bound] of entriesOf(returnBounds))
    if (isAbove(last[name], first[name], bound))
      problems.push(`${name}: ${first[name].toFixed(1)} before, ${last[name].toFixed(1)} after`);
  const settled = rests.filter(({ minute }) => minute >= settledAfter);
  if (settled.length < fewestRests) return problems;
  const middle = settled.length >> 1;
  for (const [name, bound] of entriesOf(bounds)) {
    const [earlier, later] = [settled.slice(0, middle), settled.slice(-middle)].map((part) =>
      median(part.map((sample) => sample[name])),
    ) as [number, number];
    if (isAbove(later, earlier, bound))
      problems.push(`${name} at rest: ${earlier.toFixed(1)} in one half, ${later.toFixed(1)} in the other`);
  }
  return problems;
}

/** True when a run was long enough for a verdict on memory and the store's file. */
export function isConclusive(rests: readonly Sample[]): boolean {
  return rests.filter(({ minute }) => minute >= settledAfter).length >= fewestRests;
}

type Bound = { readonly share: number; readonly spare: number };

function isAbove(value: number, base: number, { share, spare }: Bound): boolean {
  return value > base * (1 + share) + spare;
}

function entriesOf<K extends string>(of: Readonly<Record<K, Bound>>): readonly (readonly [K, Bound])[] {
  return Object.entries(of) as unknown as readonly (readonly [K, Bound])[];
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}
