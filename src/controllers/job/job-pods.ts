/**
 * What the Job controller asks of its pods: their index, whether they count as failed, when they ended. Pure functions.
 */
import type { Job } from "#api/generated/types/batch-v1.ts";
import type { ContainerStatus, Pod } from "#api/generated/types/core-v1.ts";
import { podCondition } from "#controllers/common/pods.ts";

export const trackingFinalizer = "batch.kubernetes.io/job-tracking";
export const indexAnnotation = "batch.kubernetes.io/job-completion-index";
export const indexFailureCountAnnotation = "batch.kubernetes.io/job-index-failure-count";
export const indexIgnoredFailureCountAnnotation = "batch.kubernetes.io/job-index-ignored-failure-count";

/** True for completionMode Indexed. */
export function isIndexed(job: Job): boolean {
  return job.spec?.completionMode === "Indexed";
}

export function hasTrackingFinalizer(pod: Pod): boolean {
  return pod.metadata?.finalizers?.includes(trackingFinalizer) ?? false;
}

/** The pod's completion index; undefined when it has none, or one that the Job does not. */
export function indexOf(pod: Pod, job: Job): number | undefined {
  const text = pod.metadata?.annotations?.[indexAnnotation];
  if (text === undefined || !/^\d+$/.test(text)) return undefined;
  const index = Number(text);
  return index < (job.spec?.completions ?? 0) ? index : undefined;
}

/** True when pods are replaced only after they have ended, not as soon as they are being deleted. */
export function replacesOnlyFailed(job: Job): boolean {
  return job.spec?.podReplacementPolicy === "Failed" || job.spec?.podFailurePolicy !== undefined;
}

/** Whether the pod counts as failed. One that is being deleted does, where it may never get to say how it ended. */
export function isFailed(pod: Pod, job: Job): boolean {
  if (pod.status?.phase === "Failed") return true;
  if (replacesOnlyFailed(job)) return false;
  return pod.metadata?.deletionTimestamp !== undefined && pod.status?.phase !== "Succeeded";
}

/** How often pods of this index failed before this one, counted towards the limit. */
export function indexFailureCount(pod: Pod): number {
  return Number(pod.metadata?.annotations?.[indexFailureCountAnnotation] ?? 0) || 0;
}

/** Likewise, ignored failures included: the back-off counts them too. */
export function indexAbsoluteFailureCount(pod: Pod): number {
  return indexFailureCount(pod) + (Number(pod.metadata?.annotations?.[indexIgnoredFailureCountAnnotation] ?? 0) || 0);
}

/** When the pod ended, in ms since 1970: when its last container did, or what comes nearest. */
export function finishedMs(pod: Pod): number {
  return (
    containersFinishedMs(pod) ??
    notReadySinceMs(pod) ??
    deletedMs(pod) ??
    Date.parse(pod.metadata?.creationTimestamp ?? "")
  );
}

function containersFinishedMs(pod: Pod): number | undefined {
  const sidecars = new Set(
    (pod.spec?.initContainers ?? []).filter((one) => one.restartPolicy === "Always").map((one) => one.name),
  );
  const statuses: readonly ContainerStatus[] = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []).filter((status) => sidecars.has(status.name)),
  ];
  if (statuses.length === 0) return undefined;
  let latest = 0;
  for (const { state } of statuses) {
    if (!state?.terminated?.finishedAt) return undefined;
    latest = Math.max(latest, Date.parse(state.terminated.finishedAt));
  }
  return latest;
}

function notReadySinceMs(pod: Pod): number | undefined {
  const ready = podCondition(pod, "Ready");
  return ready?.status === "False" && ready.lastTransitionTime ? Date.parse(ready.lastTransitionTime) : undefined;
}

function deletedMs(pod: Pod): number | undefined {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = pod.metadata ?? {};
  return deletionTimestamp === undefined
    ? undefined
    : Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1000;
}
