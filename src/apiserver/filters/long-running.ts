/**
 * Requests that may last: watches and streams. They take no seat and have no time limit.
 */
import type { RequestInfo } from "#apiserver/request.ts";

const LONG_RUNNING_SUBRESOURCES: ReadonlySet<string> = new Set(["attach", "exec", "proxy", "log", "portforward"]);

/** True for requests that may last as long as they like. */
export function isLongRunning(info: RequestInfo): boolean {
  return info.verb === "watch" || (info.isResourceRequest && LONG_RUNNING_SUBRESOURCES.has(info.subresource));
}
