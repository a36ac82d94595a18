/**
 * Whether a piece of one text stands in another.
 */

/** So many bytes are compared here: asking the platform costs as much. */
const FEW = 32;

/** A piece of some bytes: from `start` to before `end`. */
export type Span = { readonly start: number; readonly end: number };

/** True when the piece `span` of `before` stands in `bytes` at `at` as well. */
export function standsAt(before: Buffer, span: Span, bytes: Buffer, at: number): boolean {
  const { start, end } = span;
  const few = Math.min(end, start + FEW);
  for (let here = at, there = start; there < few; here++, there++) if (bytes[here] !== before[there]) return false;
  if (few === end) return true;
  const last = at + end - start;
  return last <= bytes.length && before.compare(bytes, at + FEW, last, few, end) === 0;
}
