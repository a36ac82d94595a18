/**
 * The entries of one host in the order in which they are asked, and beside it the few that a path's first element leaves: a host with a thousand paths is asked for some of them only.
 */
import type { RequestHead } from "#proxy/message/heads.ts";
import { compareEntries, type RuleEntry } from "./compiled-rule.ts";
import type { RequestPath } from "./request-path.ts";

/** Never changes. */
export class HostRules {
  /** Whether somebody asked lately; whoever keeps it knows what that means. */
  isUsed = true;
  readonly #bySegment = new Map<string, readonly RuleEntry[]>();
  /** Entries for paths whose first element no entry names. */
  readonly #others: readonly RuleEntry[];

  constructor(entries: readonly RuleEntry[]) {
    const sorted = [...entries].sort(compareEntries);
    this.#others = sorted.filter((entry) => segmentOf(entry) === undefined);
    for (const segment of new Set(sorted.map(segmentOf))) {
      if (segment === undefined) continue;
      this.#bySegment.set(
        segment,
        sorted.filter((entry) => (segmentOf(entry) ?? segment) === segment),
      );
    }
  }

  find(head: RequestHead, path: RequestPath): RuleEntry | undefined {
    const some = this.#bySegment.size === 0 ? undefined : this.#bySegment.get(firstSegment(path.path));
    const entries = some ?? this.#others;
    for (const entry of entries) {
      if (entry.matchesPath(path.path) && (entry.holds === undefined || entry.holds(head, path))) return entry;
    }
    return undefined;
  }
}

/** The first element of all paths that the entry can match; undefined when there are several. */
function segmentOf({ path }: RuleEntry): string | undefined {
  if (path.kind === "regex" || path.value === "/") return path.kind === "exact" ? "" : undefined;
  if (path.kind === "startsWith" && !path.value.includes("/", 1)) return undefined;
  return firstSegment(path.value);
}

function firstSegment(path: string): string {
  const end = path.indexOf("/", 1);
  return end < 0 ? path.slice(1) : path.slice(1, end);
}
