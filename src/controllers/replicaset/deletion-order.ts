/**
 * Which pods of a set go first when there are too many: those that serve least. Order as kube-controller-manager's ActivePodsWithRanks.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import { isPodActive, isPodReady, readySinceMs } from "#controllers/common/pods.ts";

const deletionCostAnnotation = "controller.kubernetes.io/pod-deletion-cost";
const phaseOrder: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/**
 * The `count` pods to delete. `related` are the pods of all sets with the same owner: of two pods that are otherwise alike the one that shares its node with more of them goes.
 */
export function podsToDelete(
  active: readonly Pod[],
  related: readonly Pod[],
  count: number,
  nowMs: number,
): readonly Pod[] {
  if (count >= active.length) return active;
  const perNode = new Map<string, number>();
  for (const pod of related) {
    const node = pod.spec?.nodeName;
    if (node && isPodActive(pod)) perNode.set(node, (perNode.get(node) ?? 0) + 1);
  }
  const rank = (pod: Pod) => perNode.get(pod.spec?.nodeName ?? "") ?? 0;
  return [...active].sort((a, b) => compare(a, b, rank, nowMs)).slice(0, count);
}

/** Negative when `a` goes before `b`. */
function compare(a: Pod, b: Pod, rank: (pod: Pod) => number, nowMs: number): number {
  return (
    Number(Boolean(a.spec?.nodeName)) - Number(Boolean(b.spec?.nodeName)) ||
    phase(a) - phase(b) ||
    Number(isPodReady(a)) - Number(isPodReady(b)) ||
    deletionCost(a) - deletionCost(b) ||
    rank(b) - rank(a) ||
    compareAges(readySinceMs(a), readySinceMs(b), a, b, nowMs) ||
    restarts(b) - restarts(a) ||
    compareAges(createdMs(a), createdMs(b), a, b, nowMs)
  );
}

function phase(pod: Pod): number {
  return phaseOrder[pod.status?.phase ?? ""] ?? 0;
}

/** The annotation's value; 0 when it is absent or no integer. */
function deletionCost(pod: Pod): number {
  const text = pod.metadata?.annotations?.[deletionCostAnnotation];
  return text !== undefined && /^-?(0|[1-9]\d*)$/.test(text) ? Number(text) : 0;
}

function restarts(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map((status) => status.restartCount));
}

function createdMs(pod: Pod): number | undefined {
  const time = pod.metadata?.creationTimestamp;
  return time ? Date.parse(time) : undefined;
}

/** Younger first, but ages of the same power of two count as equal and the uid decides: else scaling down and up again would always hit the newest. */
function compareAges(a: number | undefined, b: number | undefined, podA: Pod, podB: Pod, nowMs: number): number {
  if (a === b) return 0;
  if (!a) return -1;
  if (!b) return 1;
  const difference = magnitude(nowMs - a) - magnitude(nowMs - b);
  if (difference !== 0) return difference;
  return (podA.metadata?.uid ?? "") < (podB.metadata?.uid ?? "") ? -1 : 1;
}

function magnitude(ageMs: number): number {
  return ageMs <= 0 ? 0 : Math.floor(Math.log2(ageMs * 1e6));
}
