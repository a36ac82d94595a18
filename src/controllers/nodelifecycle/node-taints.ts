/**
 * The taints that a node's conditions ask for: new pods stay away from a node that is not well, and leave one that is gone. Pure functions.
 */
import type { Node, Taint } from "#api/generated/types/core-v1.ts";

const notReady = "node.kubernetes.io/not-ready";
const unreachable = "node.kubernetes.io/unreachable";

/** Taint for each condition and the status that brings it. */
const conditionTaints: readonly { readonly type: string; readonly status: string; readonly key: string }[] = [
  { type: "Ready", status: "False", key: notReady },
  { type: "Ready", status: "Unknown", key: unreachable },
  { type: "MemoryPressure", status: "True", key: "node.kubernetes.io/memory-pressure" },
  { type: "DiskPressure", status: "True", key: "node.kubernetes.io/disk-pressure" },
  { type: "NetworkUnavailable", status: "True", key: "node.kubernetes.io/network-unavailable" },
  { type: "PIDPressure", status: "True", key: "node.kubernetes.io/pid-pressure" },
];
const unschedulable = "node.kubernetes.io/unschedulable";

/** Status of a condition; undefined when the node has none of that type. */
export function conditionStatus(node: Node, type: string): string | undefined {
  return node.status?.conditions?.find((condition) => condition.type === type)?.status;
}

/** The taints that the node should have. `mayEvict` is false where evicting would only do harm: when no node at all is well. */
export function wantedTaints(
  node: Node,
  options: { readonly mayEvict: boolean; readonly now: string },
): readonly Taint[] {
  const current = node.spec?.taints ?? [];
  const added: Taint[] = [];
  const removed: Taint[] = [];
  const set = (isWanted: boolean, taint: Taint) => (isWanted ? added : removed).push(taint);
  for (const { type, status, key } of conditionTaints) {
    set(conditionStatus(node, type) === status, { key, effect: "NoSchedule", timeAdded: options.now });
  }
  set(node.spec?.unschedulable ?? false, { key: unschedulable, effect: "NoSchedule", timeAdded: options.now });
  const ready = conditionStatus(node, "Ready");
  set(options.mayEvict && ready === "False", { key: notReady, effect: "NoExecute", timeAdded: options.now });
  set(options.mayEvict && ready === "Unknown", { key: unreachable, effect: "NoExecute", timeAdded: options.now });
  return changeTaints(current, added, removed);
}

/** The taints with these added and those of `removed` taken away; a taint is the same when key and effect are. */
function changeTaints(taints: readonly Taint[], added: readonly Taint[], removed: readonly Taint[]): readonly Taint[] {
  const isSame = (a: Taint, b: Taint) => a.key === b.key && a.effect === b.effect;
  const kept = taints.filter((taint) => !removed.some((one) => isSame(one, taint)));
  return [...kept, ...added.filter((taint) => !kept.some((one) => isSame(one, taint)))];
}
