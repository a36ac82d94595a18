/**
 * Sets of completion indexes as they stand in a Job's status: "0-3,5,7,8". Two neighbours are written with a comma, more with a dash, as upstream does.
 */

/** Reads a set; indexes from `completions` on and broken parts are left out. */
export function parseIndexes(text: string | undefined, completions: number): Set<number> {
  const indexes = new Set<number>();
  for (const part of (text ?? "").split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    if (match === null) continue;
    const last = Math.min(Number(match[2] ?? match[1]), completions - 1);
    for (let index = Number(match[1]); index <= last; index++) indexes.add(index);
  }
  return indexes;
}

/** Writes a set. */
export function formatIndexes(indexes: Iterable<number>): string {
  const sorted = [...indexes].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let start = 0; start < sorted.length; ) {
    let end = start;
    while (end + 1 < sorted.length && sorted[end + 1] === sorted[end]! + 1) end++;
    parts.push(...interval(sorted[start]!, sorted[end]!));
    start = end + 1;
  }
  return parts.join(",");
}

function interval(first: number, last: number): readonly string[] {
  if (first === last) return [String(first)];
  return last === first + 1 ? [String(first), String(last)] : [`${first}-${last}`];
}

/** The first `count` indexes below `completions` that are in none of the sets. */
export function firstMissing(
  count: number,
  completions: number,
  ...taken: readonly ReadonlySet<number>[]
): readonly number[] {
  const found: number[] = [];
  for (let index = 0; index < completions && found.length < count; index++) {
    if (!taken.some((set) => set.has(index))) found.push(index);
  }
  return found;
}
