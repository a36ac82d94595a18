/**
 * A rule made ready: one entry a match, with what decides between entries, and a function for what is more than a path. Entries never change, so requests that are under way keep theirs.
 */
import type { PathMatch, RouteConfig, RouteMatch, RouteRule, ValueMatch } from "#proxy/config/route.ts";
import { findField, joinedField } from "#proxy/message/fields.ts";
import type { RequestHead } from "#proxy/message/heads.ts";
import { type CaptureReader, compileCaptures, compileRegex } from "./regex.ts";
import { findQueryValue, type RequestPath } from "./request-path.ts";

/** A match of a rule of a route. */
export type RuleEntry = {
  readonly route: RouteConfig;
  readonly rule: RouteRule;
  /** Of the rule within its route. */
  readonly index: number;
  readonly path: PathMatch;
  /** Whether the rest of the match holds; undefined when there is no rest. */
  readonly holds: ((head: RequestHead, path: RequestPath) => boolean) | undefined;
  readonly matchesPath: (path: string) => boolean;
  /** For rules that put what a regular expression found into another path. */
  readonly captures: CaptureReader | undefined;
  readonly rank: readonly number[];
};

const everything: PathMatch = { kind: "prefix", value: "/" };

/** All entries of a route. */
export function compileRoute(route: RouteConfig): readonly RuleEntry[] {
  return route.rules.flatMap((rule, index) => {
    const matches = rule.matches === undefined || rule.matches.length === 0 ? [{}] : rule.matches;
    return matches.map((match) => compileMatch(route, rule, index, match));
  });
}

/** Which of two entries is asked first: Gateway API's precedence. */
export function compareEntries(a: RuleEntry, b: RuleEntry): number {
  for (const [index, value] of a.rank.entries()) {
    const difference = (b.rank[index] ?? 0) - value;
    if (difference !== 0) return difference;
  }
  if (a.route.name !== b.route.name) return a.route.name < b.route.name ? -1 : 1;
  return a.index - b.index;
}

function compileMatch(route: RouteConfig, rule: RouteRule, index: number, match: RouteMatch): RuleEntry {
  const path = match.path === undefined ? everything : normalized(match.path);
  const { methods, fields = [], query = [] } = match;
  return {
    route,
    rule,
    index,
    path,
    holds: compileRest(match),
    matchesPath: compilePath(path),
    captures: path.kind === "regex" && wantsCaptures(rule) ? compileCaptures(path.value) : undefined,
    rank: [
      route.priority ?? 0,
      path.kind === "exact" ? 2 : path.kind === "regex" ? 0 : 1,
      path.value.length,
      methods === undefined ? 0 : 1,
      fields.length,
      query.length,
      -(route.order ?? 0),
    ],
  };
}

function wantsCaptures({ rewrite, action }: RouteRule): boolean {
  return rewrite?.path?.kind === "captures" || (action.kind === "redirect" && action.path?.kind === "captures");
}

function normalized(path: PathMatch): PathMatch {
  if (path.kind !== "prefix" || path.value === "/" || !path.value.endsWith("/")) return path;
  return { kind: "prefix", value: path.value.slice(0, -1) };
}

function compilePath({ kind, value }: PathMatch): (path: string) => boolean {
  switch (kind) {
    case "exact":
      return (path) => path === value;
    case "regex":
      return compileRegex(value);
    case "startsWith":
      return (path) => path.startsWith(value);
    default:
      if (value === "/") return () => true;
      return (path) => path.startsWith(value) && (path.length === value.length || path[value.length] === "/");
  }
}

function compileRest({ methods, fields = [], query = [] }: RouteMatch): RuleEntry["holds"] {
  const parts: NonNullable<RuleEntry["holds"]>[] = [];
  if (methods !== undefined) parts.push((head) => methods.includes(head.method));
  for (const match of fields) parts.push(compileFieldMatch(match));
  for (const match of query) {
    const test = compileValue(match);
    parts.push((_head, path) => test(findQueryValue(path.query, match.name)));
  }
  if (parts.length === 0) return undefined;
  if (parts.length === 1) return parts[0];
  return (head, path) => parts.every((part) => part(head, path));
}

function compileFieldMatch(match: ValueMatch): NonNullable<RuleEntry["holds"]> {
  const test = compileValue(match);
  if (match.kind === "present") return (head) => test(findField(head.fields, match.name));
  return (head) => test(joinedField(head.fields, match.name));
}

function compileValue({ kind, value = "", isInverted = false }: ValueMatch): (text: string | undefined) => boolean {
  const test = compileValueTest(kind, value);
  return (text) => (text !== undefined && test(text)) !== isInverted;
}

function compileValueTest(kind: ValueMatch["kind"], value: string): (text: string) => boolean {
  switch (kind) {
    case "exact":
      return (text) => text === value;
    case "prefix":
      return (text) => text.startsWith(value);
    case "regex":
      return compileRegex(value);
    default:
      return () => true;
  }
}
