/**
 * A Function with what became of it: conditions, source, and its revisions with their traffic.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import { columns } from "#cli/columns.ts";
import { loadLines } from "./function-load.ts";
import { type FunctionObject, functions } from "#api/nodeless/function.ts";
import { type Traffic, trafficOf } from "./function-traffic.ts";
import { troubleLines, troublesOf } from "./function-troubles.ts";
import { triggerLines } from "./function-triggers.ts";

type Revision = KubeObject & {
  readonly status?: {
    readonly actualReplicas?: number;
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly reason?: string }[];
  };
};

const serving = { group: "serving.knative.dev", version: "v1" };

/** The lines of `nodeless fn describe`. Throws StatusError for one that is not there. */
export async function describeFunction(client: Client, namespace: string, name: string): Promise<readonly string[]> {
  const fn = await client.get<FunctionObject>({ resource: functions, namespace, name });
  const traffic = await trafficOf(client, fn);
  const revisions = await client.list<Revision>(
    { resource: { ...serving, resource: "revisions" }, namespace },
    { labelSelector: `serving.knative.dev/service=${name}` },
  );
  return [
    ...headLines(fn),
    ...conditionLines(fn),
    ...revisionLines(revisions.items, traffic),
    ...troubleLines(await troublesOf(client, namespace, revisions.items), Date.now()),
    ...(await triggerLines(client, fn)),
    ...(await loadLines(client, namespace, name)),
  ];
}

function headLines(fn: FunctionObject): string[] {
  const { metadata, spec = {}, status = {} } = fn;
  const rows: readonly (readonly [string, string | undefined])[] = [
    ["Name", metadata?.name],
    ["Namespace", metadata?.namespace],
    ["URL", status.url],
    ["Runtime", spec.runtime],
    ["Source", sourceOf(fn)],
    ["Image", status.image],
  ];
  return rows.flatMap(([title, value]) => (value === undefined ? [] : [`${`${title}:`.padEnd(12)}${value}`]));
}

function sourceOf({ spec, status }: FunctionObject): string {
  const { inline, git, artifact, image } = spec?.source ?? {};
  if (git !== undefined) {
    const { commit } = status?.build ?? {};
    return `${git.url}${git.path === undefined ? "" : ` /${git.path}`} ${git.revision ?? ""}${commit === undefined ? "" : ` (${commit.slice(0, 12)})`}`;
  }
  if (artifact !== undefined) return artifact.reference ?? "";
  if (inline !== undefined) return `inline: ${Object.keys(inline.files ?? {}).join(", ")}`;
  return `image ${image ?? ""}`;
}

function conditionLines({ status }: FunctionObject): string[] {
  const conditions = status?.conditions ?? [];
  const rows = conditions.map(({ type, status: is, reason = "", message = "" }) => {
    const [first = "", ...rest] = message.split("\n").filter((line) => line.trim() !== "");
    // Ready says what another condition says too: in full once is enough.
    const isSaidElsewhere = type === "Ready" && conditions.some((one) => one.type !== type && one.message === message);
    return { first: [type, is, reason, first], rest: isSaidElsewhere ? [] : rest };
  });
  if (rows.length === 0) return [];
  const [head = "", ...lines] = columns([
    ["CONDITION", "STATUS", "REASON", "MESSAGE"],
    ...rows.map(({ first }) => first),
  ]);
  // The cause is often in a later line.
  return ["", head, ...lines.flatMap((line, index) => [line, ...(rows[index]?.rest ?? []).map((one) => `   ${one}`)])];
}

function revisionLines(revisions: readonly Revision[], traffic: readonly Traffic[]): string[] {
  if (revisions.length === 0) return [];
  const rows = revisions
    .toSorted((a, b) => generationOf(b) - generationOf(a))
    .map((revision) => {
      const name = revision.metadata?.name ?? "";
      const shares = traffic.filter(({ revisionName }) => revisionName === name);
      const percent = shares.reduce((sum, share) => sum + (share.percent ?? 0), 0);
      const tags = shares.flatMap(({ tag }) => tag ?? []).join(",");
      const ready = revision.status?.conditions?.find(({ type }) => type === "Ready");
      return [
        name,
        `${percent}%`,
        tags,
        ready?.status ?? "Unknown",
        ready?.reason ?? "",
        String(revision.status?.actualReplicas ?? 0),
      ];
    });
  return ["", ...columns([["REVISION", "TRAFFIC", "TAGS", "READY", "REASON", "INSTANCES"], ...rows])];
}

function generationOf({ metadata }: Revision): number {
  return Number(metadata?.labels?.["serving.knative.dev/configurationGeneration"] ?? 0);
}
