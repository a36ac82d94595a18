/**
 * What a function's revisions have to do now, and what their cold starts came to, as Serving says it: the nodes' reports of the last second, and each revision's quantiles.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import { columns } from "#cli/columns.ts";

type Report = {
  readonly namespace: string;
  readonly name: string;
  readonly concurrency: number;
  readonly requests: number;
  readonly queued?: number;
};

type DataPlane = KubeObject & {
  readonly status?: { readonly reportTime?: string; readonly revisions?: readonly Report[] };
};

type PodAutoscaler = KubeObject & {
  readonly status?: {
    readonly coldStarts?: {
      readonly count?: number;
      readonly p50Ms?: number;
      readonly p99Ms?: number;
      readonly parts?: readonly { readonly part: string; readonly p50Ms: number; readonly p99Ms: number }[];
    };
  };
};

const dataPlanes = { group: "nodeless.dev", version: "v1alpha1", resource: "dataplanes" };
const podAutoscalers = { group: "autoscaling.internal.knative.dev", version: "v1alpha1", resource: "podautoscalers" };
/** Nodes that have nothing to do say nothing. */
const freshMs = 5000;
const partTitles: readonly (readonly [part: string, title: string])[] = [
  ["decision", "DECISION"],
  ["schedule", "SCHEDULE"],
  ["start", "START"],
  ["ready", "READY"],
  ["firstByte", "FIRST BYTE"],
];

/** Lines on the load of this moment, and on cold starts; none where there were none. */
export async function loadLines(client: Client, namespace: string, name: string): Promise<readonly string[]> {
  const [planes, scalers] = await Promise.all([
    client.list<DataPlane>({ resource: dataPlanes }),
    client.list<PodAutoscaler>(
      { resource: podAutoscalers, namespace },
      { labelSelector: `serving.knative.dev/service=${name}` },
    ),
  ]);
  const names = new Set(scalers.items.map(({ metadata }) => metadata?.name ?? ""));
  return [...nowLines(planes.items, namespace, names), ...coldStartLines(scalers.items)];
}

function nowLines(planes: readonly DataPlane[], namespace: string, names: ReadonlySet<string>): string[] {
  const isFresh = ({ status }: DataPlane) => Date.now() - Date.parse(status?.reportTime ?? "") < freshMs;
  const sums = new Map<string, { requests: number; concurrency: number; queued: number }>();
  for (const report of planes.filter(isFresh).flatMap(({ status }) => status?.revisions ?? [])) {
    if (report.namespace !== namespace || !names.has(report.name)) continue;
    const { requests, concurrency, queued } = sums.get(report.name) ?? { requests: 0, concurrency: 0, queued: 0 };
    sums.set(report.name, {
      requests: requests + report.requests,
      concurrency: concurrency + report.concurrency,
      queued: queued + (report.queued ?? 0),
    });
  }
  if (sums.size === 0) return [];
  const rows = [...sums].map(([revision, { requests, concurrency, queued }]) => [
    revision,
    String(requests),
    concurrency.toFixed(1),
    String(queued),
  ]);
  return ["", ...columns([["NOW", "REQUESTS/S", "CONCURRENCY", "QUEUED"], ...rows])];
}

function coldStartLines(scalers: readonly PodAutoscaler[]): string[] {
  const rows = scalers.flatMap(({ metadata, status }) => {
    const { count = 0, p50Ms = 0, p99Ms = 0, parts = [] } = status?.coldStarts ?? {};
    if (count === 0) return [];
    const split = partTitles.map(([part]) => milliseconds(parts.find((one) => one.part === part)?.p50Ms));
    return [[metadata?.name ?? "", String(count), milliseconds(p50Ms), milliseconds(p99Ms), ...split]];
  });
  if (rows.length === 0) return [];
  const head = ["COLD STARTS", "COUNT", "P50", "P99", ...partTitles.map(([, title]) => title)];
  return ["", ...columns([head, ...rows])];
}

function milliseconds(value: number | undefined): string {
  return value === undefined ? "" : `${Math.round(value)} ms`;
}
