/**
 * Patterns for the keys of objects: `*` is anything within a folder, `**` anything, `?` one character that is no slash; a pattern without a slash is about names in the top folder. No regular expressions, whose time a
 * pattern of a stranger's could blow up: at worst it is the key's length times the pattern's.
 */

/** A test for one pattern. The empty pattern takes every key. */
export function compileKeyPattern(pattern: string): (key: string) => boolean {
  if (pattern === "") return () => true;
  const parts = partsOf(pattern);
  return (key) => matches(parts, Array.from(key));
}

type Part = { readonly kind: "character"; readonly character: string } | { readonly kind: "one" | "many" | "all" };

function partsOf(pattern: string): readonly Part[] {
  const parts: Part[] = [];
  const all = Array.from(pattern);
  for (let i = 0; i < all.length; i++) {
    const character = all[i] ?? "";
    if (character === "?") parts.push({ kind: "one" });
    else if (character !== "*") parts.push({ kind: "character", character });
    else if (all[i + 1] !== "*") parts.push({ kind: "many" });
    else {
      parts.push({ kind: "all" });
      // `**/` is also nothing: `a/**/b` takes a/b.
      i += all[i + 2] === "/" ? 2 : 1;
    }
  }
  return parts;
}

/** Which beginnings of the pattern the key read so far can be: a set that moves on character by character. */
function matches(parts: readonly Part[], key: readonly string[]): boolean {
  let states = withEmpty(parts, new Set([0]));
  for (const character of key) {
    const next = new Set<number>();
    for (const at of states) step(parts, at, character, next);
    if (next.size === 0) return false;
    states = withEmpty(parts, next);
  }
  return states.has(parts.length);
}

function step(parts: readonly Part[], at: number, character: string, next: Set<number>): void {
  const part = parts[at];
  if (part === undefined) return;
  if (part.kind === "all" || (part.kind === "many" && character !== "/")) next.add(at);
  else if (part.kind === "one" ? character !== "/" : part.kind === "character" && part.character === character)
    next.add(at + 1);
}

function withEmpty(parts: readonly Part[], states: Set<number>): Set<number> {
  for (const at of states) {
    const kind = parts[at]?.kind;
    if (kind === "many" || kind === "all") states.add(at + 1);
  }
  return states;
}
