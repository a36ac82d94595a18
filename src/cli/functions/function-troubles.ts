/**
 * What went wrong with a function's instances lately, as its revisions' events tell: instances that were killed or ended leave nothing else behind.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import { columns } from "#cli/columns.ts";

type Event = KubeObject & {
  readonly involvedObject?: { readonly name?: string };
  readonly reason?: string;
  readonly message?: string;
  readonly count?: number;
  readonly lastTimestamp?: string;
  readonly eventTime?: string;
};

/** A warning, and how often it was given. */
export type Trouble = {
  readonly revision: string;
  readonly reason: string;
  readonly message: string;
  readonly count: number;
  readonly lastMs: number;
};

const events = { group: "", version: "v1", resource: "events" };
const mostShown = 5;

/** Newest first. */
export async function troublesOf(
  client: Client,
  namespace: string,
  revisions: readonly KubeObject[],
): Promise<readonly Trouble[]> {
  const names = new Set(revisions.map(({ metadata }) => metadata?.name));
  const fieldSelector = "involvedObject.kind=Revision,type=Warning";
  const { items } = await client.list<Event>({ resource: events, namespace }, { fieldSelector });
  return items
    .filter(({ involvedObject }) => names.has(involvedObject?.name))
    .map(({ involvedObject, reason = "", message = "", count = 1, lastTimestamp, eventTime, metadata }) => ({
      revision: involvedObject?.name ?? "",
      reason,
      message,
      count,
      lastMs: Date.parse(lastTimestamp ?? eventTime ?? metadata?.creationTimestamp ?? ""),
    }))
    .toSorted((a, b) => b.lastMs - a.lastMs);
}

/** As a table; none where nothing went wrong. */
export function troubleLines(troubles: readonly Trouble[], nowMs: number): readonly string[] {
  if (troubles.length === 0) return [];
  const rows = troubles
    .slice(0, mostShown)
    .map(({ revision, reason, message, count, lastMs }) => [
      agoOf(nowMs - lastMs),
      String(count),
      revision,
      reason,
      message.split("\n")[0] ?? "",
    ]);
  return ["", ...columns([["LAST", "COUNT", "REVISION", "TROUBLE", "MESSAGE"], ...rows])];
}

function agoOf(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  return seconds < 120 ? `${seconds}s` : `${Math.round(seconds / 60)}m`;
}
