/**
 * Keys of the store: what is a legal one, and their order. The order is that of the UTF-8 bytes, which is that of code points; JavaScript
 * compares UTF-16 units, which differs as soon as a surrogate meets a character from U+E000 on.
 */
import assert from "node:assert";

/** Longest key in UTF-8 bytes. Kubernetes' longest ordinary one (group, resource, namespace, name) is below 900. */
export const MAX_KEY_BYTES = 1900;

/** Throws when `key` is not 1 to {@link MAX_KEY_BYTES} bytes of well-formed text: a caller's bug, not a user's. */
export function checkKey(key: string): void {
  assert(key.length > 0, "a key of the store must not be empty");
  assert(key.length * 3 <= MAX_KEY_BYTES || Buffer.byteLength(key) <= MAX_KEY_BYTES, `key is too long: ${key}`);
  assert(key.isWellFormed(), `key is not well-formed text: ${JSON.stringify(key)}`);
}

/** Negative, zero or positive, as the UTF-8 bytes of `a` come before, are the same as, or come after those of `b`. */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left !== right) return rank(left) - rank(right);
  }
  return a.length - b.length;
}

/** The later of a range's two lower bounds: its prefix and its first wanted key. */
export function firstKey(request: { readonly prefix: string; readonly startKey?: string }): string {
  const { prefix, startKey } = request;
  return startKey !== undefined && compareKeys(startKey, prefix) > 0 ? startKey : prefix;
}

function rank(unit: number): number {
  if (unit >= 0xe000) return unit - 0x800;
  return unit >= 0xd800 ? unit + 0x2000 : unit;
}
