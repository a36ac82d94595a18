/**
 * Rewritten targets, and the places that redirects point to. What a rule's prefix did not cover stays, and so does the query.
 */
import type { PathChange, RedirectAction } from "#proxy/config/route.ts";
import type { RuleEntry } from "./compiled-rule.ts";
import type { RequestPath } from "./request-path.ts";

/** What matched the path. */
export type MatchedPath = Pick<RuleEntry, "path" | "captures">;

/** The path that the change makes of the request's. */
export function changePath(path: string, change: PathChange | undefined, matched: MatchedPath): string {
  if (change === undefined) return path;
  if (change.kind === "captures" && matched.captures !== undefined)
    return withCaptures(change.value, matched.captures(path) ?? []);
  if (change.kind !== "prefix" || matched.path.kind === "regex") return change.value === "" ? "/" : change.value;
  const prefix = matched.path.value === "/" ? "" : matched.path.value;
  const rest = path.startsWith(prefix) ? path.slice(prefix.length) : path;
  const front = change.value.endsWith("/") ? change.value.slice(0, -1) : change.value;
  const joined = rest === "" || rest.startsWith("/") ? `${front}${rest}` : `${front}/${rest}`;
  return joined === "" ? "/" : joined;
}

function withCaptures(template: string, groups: readonly (string | undefined)[]): string {
  const path = template.replaceAll(/\$([1-9])/g, (_, group: string) => groups[Number(group)] ?? "");
  return path.startsWith("/") ? path : `/${path}`;
}

/** What a redirect needs to know of a request. */
export type RedirectedRequest = {
  readonly scheme: "http" | "https";
  readonly authority: string;
  readonly path: RequestPath;
  readonly matched: MatchedPath;
};

/** The Location of a redirect. A port that the scheme implies is left away. */
export function redirectLocation(action: RedirectAction, request: RedirectedRequest): string {
  const scheme = action.scheme ?? request.scheme;
  const [, host = "", port] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(request.authority) ?? [];
  // A port of the old scheme says nothing about the new one.
  const own = action.scheme === undefined ? port : undefined;
  const wanted = action.port === undefined ? own : String(action.port);
  const implied = scheme === "https" ? "443" : "80";
  const shown = wanted === undefined || wanted === implied ? "" : `:${wanted}`;
  const path = changePath(request.path.path, action.path, request.matched);
  return `${scheme}://${action.host ?? host}${shown}${path}${request.path.query}`;
}
