/**
 * Which files a folder's .gitignore and .funcignore leave out: Git's patterns (gitignore(5)), of each folder for what is below it; the last that fits decides.
 */

type Rule = { readonly expression: RegExp; readonly isNegated: boolean; readonly isForFolders: boolean };

/** The rules of one file; paths are relative to the folder in which it is. */
export class IgnoreRules {
  readonly #rules: readonly Rule[];

  constructor(text: string) {
    this.#rules = text.split(/\r?\n/).flatMap((line) => ruleOf(line) ?? []);
  }

  /** True: left out; false: taken though an earlier file leaves it out; undefined: nothing is said. */
  verdict(path: string, isFolder: boolean): boolean | undefined {
    const rule = this.#rules.findLast(
      ({ expression, isForFolders }) => (isFolder || !isForFolders) && expression.test(path),
    );
    return rule && !rule.isNegated;
  }
}

function ruleOf(line: string): Rule | undefined {
  // Spaces at the end do not count unless they are escaped.
  let pattern = line.replace(/(?<!\\)\s+$/, "");
  if (pattern === "" || pattern.startsWith("#")) return undefined;
  const isNegated = pattern.startsWith("!");
  if (isNegated) pattern = pattern.slice(1);
  const isForFolders = pattern.endsWith("/");
  if (isForFolders) pattern = pattern.slice(0, -1);
  // A slash before the end ties the pattern to the folder of its file.
  const isAnchored = pattern.includes("/");
  if (pattern.startsWith("/")) pattern = pattern.slice(1);
  const prefix = isAnchored ? "^" : "^(?:.*/)?";
  return { expression: new RegExp(`${prefix}${expressionOf(pattern)}$`, "s"), isNegated, isForFolders };
}

function expressionOf(pattern: string): string {
  let text = "";
  for (let index = 0; index < pattern.length; index++) {
    const rest = pattern.slice(index);
    const piece =
      /^\*\*\/(?:\*\*\/)*/.exec(rest) && (index === 0 || pattern[index - 1] === "/")
        ? { length: /^(?:\*\*\/)+/.exec(rest)?.[0].length ?? 0, as: "(?:.*/)?" }
        : /^\*\*$/.test(rest) && pattern[index - 1] === "/"
          ? { length: 2, as: ".+" }
          : characterOf(rest);
    text += piece.as;
    index += piece.length - 1;
  }
  return text;
}

function characterOf(rest: string): { readonly length: number; readonly as: string } {
  const stars = /^\*+/.exec(rest);
  if (stars) return { length: stars[0].length, as: "[^/]*" };
  if (rest.startsWith("?")) return { length: 1, as: "[^/]" };
  const set = /^\[(!|\^)?(\]?[^\]]*)\]/.exec(rest);
  if (set)
    return {
      length: set[0].length,
      as: `[${set[1] === undefined ? "" : "^"}${(set[2] ?? "").replaceAll(/[\\\]^]/g, "\\$&")}]`,
    };
  const escaped = /^\\(.)/s.exec(rest);
  if (escaped) return { length: 2, as: literal(escaped[1] ?? "") };
  return { length: 1, as: literal(rest[0] ?? "") };
}

function literal(character: string): string {
  return /[\w/ -]/.test(character)
    ? character
    : `\\u{${character.codePointAt(0)?.toString(16)}}`.replace(
        /^\\u\{(.*)\}$/,
        (_, hex: string) => `\\u${hex.padStart(4, "0")}`,
      );
}
