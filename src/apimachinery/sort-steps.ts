/**
 * Sorting what is too much for one turn of the event loop.
 */

/** Sorted at once. */
const RUN = 1000;
/** Looked at between two steps of merging. */
const MERGED = 400;

/** Sorts in place by the texts that `keyOf` gives, in steps: short runs at once, which are merged then. Equal ones stay as they stand. */
export function* sortSteps<T>(items: T[], keyOf: (item: T) => string): Iterable<void> {
  for (let start = 0; start < items.length; start += RUN) {
    const run = items.slice(start, start + RUN).sort((a, b) => compare(keyOf(a), keyOf(b)));
    for (let index = 0; index < run.length; index++) items[start + index] = run[index] as T;
    yield;
  }
  for (let width = RUN; width < items.length; width *= 2) {
    for (let start = 0; start + width < items.length; start += 2 * width) {
      yield* mergeSteps(items, keyOf, { start, middle: start + width, end: Math.min(start + 2 * width, items.length) });
    }
  }
}

function* mergeSteps<T>(
  items: T[],
  keyOf: (item: T) => string,
  range: { readonly start: number; readonly middle: number; readonly end: number },
): Iterable<void> {
  const { start, middle, end } = range;
  if (keyOf(items[middle - 1] as T) <= keyOf(items[middle] as T)) return;
  const left = items.slice(start, middle);
  let fromLeft = 0;
  let fromRight = middle;
  for (let at = start; fromLeft < left.length; at++) {
    const isRight = fromRight < end && keyOf(items[fromRight] as T) < keyOf(left[fromLeft] as T);
    items[at] = (isRight ? items[fromRight++] : left[fromLeft++]) as T;
    if (at % MERGED === 0) yield;
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
