/**
 * What all evictions share.
 */
import type { Pod, PodStatus } from "#api/generated/types/core-v1.ts";

/** What an evicted pod's status says. `isDisruption`: the node ended it for reasons of its own, told by the condition DisruptionTarget. */
export type EvictedStatus = Required<Pick<PodStatus, "reason" | "message">> & { readonly isDisruption: boolean };

/** As upstream's immediateEvictionGracePeriodSeconds. */
export const immediateGraceSeconds = 1;

/** From this priority on pods belong to the system and are left alone. */
const systemCriticalPriority = 2_000_000_000;

export function isCritical(pod: Pod): boolean {
  return (pod.spec?.priority ?? 0) >= systemCriticalPriority;
}
