/**
 * What a PodDisruptionBudget allows: how many of its pods are healthy, how many must be, and how many may go. Pure functions; rules as upstream's.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { PodDisruptionBudget } from "#api/generated/types/policy-v1.ts";
import { scaledValue } from "#apimachinery/int-or-string.ts";
import { isPodReady, isPodTerminating } from "#controllers/common/pods.ts";

/** A pod whose eviction was allowed and that is not being deleted after this long will stay. */
const deletionTimeoutMs = 120_000;

/** How many pods there should be, and how many of them must be healthy. `scale` is the sum over the pods' controllers. */
export function expectations(
  budget: PodDisruptionBudget,
  podCount: number,
  scale: number,
): { readonly expected: number; readonly desired: number } {
  const { maxUnavailable, minAvailable } = budget.spec ?? {};
  if (maxUnavailable !== undefined) {
    return { expected: scale, desired: Math.max(0, scale - scaledValue(maxUnavailable, scale, true)) };
  }
  if (minAvailable === undefined) return { expected: podCount, desired: 0 };
  // A plain number says nothing about how many there should be, so pods of any kind will do.
  if (typeof minAvailable === "number") return { expected: podCount, desired: minAvailable };
  return { expected: scale, desired: scaledValue(minAvailable, scale, true) };
}

/** True when the budget's numbers depend on the size of the pods' controllers. */
export function dependsOnScale(budget: PodDisruptionBudget): boolean {
  const { maxUnavailable, minAvailable } = budget.spec ?? {};
  return maxUnavailable !== undefined || typeof minAvailable === "string";
}

/** Evictions that were allowed and are under way still, and when to look at them again. */
export function pendingDisruptions(
  budget: PodDisruptionBudget,
  pods: readonly Pod[],
  nowMs: number,
): { readonly pending: Readonly<Record<string, string>>; readonly recheckAfterMs: number | undefined } {
  const pending: Record<string, string> = {};
  let recheckMs: number | undefined;
  for (const pod of pods) {
    const name = pod.metadata?.name ?? "";
    const since = budget.status?.disruptedPods?.[name];
    if (since === undefined || isPodTerminating(pod)) continue;
    const untilMs = Date.parse(since) + deletionTimeoutMs;
    if (untilMs < nowMs) continue;
    pending[name] = since;
    recheckMs = Math.min(recheckMs ?? untilMs, untilMs);
  }
  return { pending, recheckAfterMs: recheckMs === undefined ? undefined : recheckMs - nowMs + 1000 };
}

/** Ready pods that are not on their way out. */
export function countHealthy(pods: readonly Pod[], pending: Readonly<Record<string, string>>): number {
  return pods.filter((pod) => !isPodTerminating(pod) && !((pod.metadata?.name ?? "") in pending) && isPodReady(pod))
    .length;
}
