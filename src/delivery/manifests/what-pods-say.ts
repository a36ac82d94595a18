/**
 * Why something does not become ready, as its pods tell: images that cannot be had, containers that end again and again, places that are not there.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";

type WithSelector = KubeObject & {
  readonly spec?: { readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> } };
};

const mostLines = 5;

/** A line for each pod that has something to say. */
export async function whatPodsSay(
  client: Client,
  { object, namespace }: { readonly object: KubeObject; readonly namespace: string | undefined },
): Promise<readonly string[]> {
  const labels = (object as WithSelector).spec?.selector?.matchLabels;
  if (labels === undefined || namespace === undefined) return [];
  const labelSelector = Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
  const ref = { resource: { group: "", version: "v1", resource: "pods" }, namespace };
  const { items } = await client.list<Pod>(ref, { labelSelector });
  return items.flatMap(linesOf).slice(0, mostLines);
}

function linesOf({ metadata, status }: Pod): readonly string[] {
  const say = (what: string) => `pod ${metadata?.name}: ${what}`;
  const unscheduled = status?.conditions?.find(({ type, status: is }) => type === "PodScheduled" && is === "False");
  if (unscheduled !== undefined) return [say(unscheduled.message ?? "is not scheduled")];
  return (status?.containerStatuses ?? []).flatMap(({ name, ready, state, lastState }) => {
    if (ready) return [];
    const { reason, message } = state?.waiting ?? state?.terminated ?? lastState?.terminated ?? {};
    return reason === undefined ? [] : [say(`container ${name}: ${[reason, message].filter(Boolean).join(": ")}`)];
  });
}
