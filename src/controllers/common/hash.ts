/**
 * Short names for pod templates: a hash in letters and digits that spell no words, as pod-template-hash and controller-revision-hash.
 */

/** Kubernetes' alphabet for random and hashed names: no vowels, none of 0, 1, 3. */
const alphabet = "bcdfghjklmnpqrstvwxz2456789";

/** The hash of a value, whatever the order of its keys; another `collisionCount` gives another hash. */
export function templateHash(value: unknown, collisionCount?: number): string {
  let hash = fnv1a(canonicalJson(value), 0x811c9dc5);
  if (collisionCount !== undefined) hash = fnv1a(`#${collisionCount}`, hash);
  return safeEncode(String(hash));
}

/** FNV-1a, 32 bits, over UTF-8. */
export function fnv1a(text: string, start = 0x811c9dc5): number {
  let hash = start;
  for (const byte of Buffer.from(text, "utf8")) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

function safeEncode(text: string): string {
  return Array.from(text, (character) => alphabet[character.charCodeAt(0) % alphabet.length]).join("");
}

function canonicalJson(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const object = value as Record<string, unknown>;
  const keys = Object.keys(object)
    .filter((key) => object[key] !== undefined)
    .sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalJson(object[key])}`).join(",")}}`;
}
