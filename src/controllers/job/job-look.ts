/**
 * One look at one Job: what its pods amount to, and whether it has succeeded or failed by that. Nothing is written here; `job-controller.ts` acts on it.
 */
import type { Job, JobCondition, JobStatus } from "#api/generated/types/batch-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { formatTime } from "#apimachinery/time.ts";
import { findCondition } from "#controllers/common/conditions.ts";
import { isPodActive, isPodFinished, isPodReady, isPodTerminating } from "#controllers/common/pods.ts";
import { parseIndexes } from "./completion-indexes.ts";
import { updateRecord } from "./job-backoff.ts";
import type { FailureRecord } from "./job-backoff.ts";
import { failsIndex, jobFailureMessage, judgeFailure, successMessage } from "./job-policies.ts";
import { hasTrackingFinalizer, indexAbsoluteFailureCount, indexOf, isFailed, isIndexed } from "./job-pods.ts";

/** Why the Job is over, before it may say so for good. */
export type Ending = {
  readonly type: "SuccessCriteriaMet" | "FailureTarget";
  readonly reason: string;
  readonly message: string;
};

export type LookInput = {
  readonly job: Job;
  readonly pods: readonly Pod[];
  /** Uids of pods whose finalizer we took away, though the informer shows it still. */
  readonly released: ReadonlySet<string>;
  readonly record: FailureRecord;
  readonly nowMs: number;
};

/** What a Job's pods amount to. Counts include pods that status does not count yet. */
export type JobLook = {
  readonly active: readonly Pod[];
  readonly readyCount: number;
  readonly terminatingCount: number;
  readonly succeededCount: number;
  readonly failedCount: number;
  /** Indexes by status, and with what succeeded since. */
  readonly countedIndexes: ReadonlySet<number>;
  readonly succeededIndexes: ReadonlySet<number>;
  /** Undefined unless failures are counted by index. */
  readonly failedIndexes: ReadonlySet<number> | undefined;
  /** By index, the failed pod that waits for its replacement to take over its count of failures. */
  readonly delayedByIndex: ReadonlyMap<number, Pod>;
  readonly record: FailureRecord;
  readonly ending: Ending | undefined;
};

/** Looks at the Job. */
export function lookAt(input: LookInput): JobLook {
  const { job, pods, nowMs } = input;
  const active = pods.filter(isPodActive);
  const uncounted = uncountedOf(job.status);
  const newSucceeded = newlyEnded(input, uncounted.succeeded, (pod) => pod.status?.phase === "Succeeded");
  const newFailed = newlyEnded(input, uncounted.failed, (pod) => isFailed(pod, job));
  const countedFailed = newFailed.filter((pod) => judgeFailure(job, pod).countsAsFailure);
  const completions = job.spec?.completions ?? 0;
  const countedIndexes = isIndexed(job) ? parseIndexes(job.status?.completedIndexes, completions) : new Set<number>();
  const succeededIndexes = isIndexed(job) ? withSucceeded(countedIndexes, job, pods) : countedIndexes;
  const hasLimitPerIndex = job.spec?.backoffLimitPerIndex !== undefined && isIndexed(job);
  const failedIndexes = hasLimitPerIndex ? failedIndexesOf(job, pods) : undefined;
  const facts = {
    active,
    readyCount: active.filter(isPodReady).length,
    terminatingCount: pods.filter((pod) => isPodTerminating(pod) && !isPodFinished(pod)).length,
    succeededCount: isIndexed(job)
      ? succeededIndexes.size
      : (job.status?.succeeded ?? 0) + newSucceeded.length + uncounted.succeeded.size,
    failedCount: (job.status?.failed ?? 0) + countedFailed.length + uncounted.failed.size,
    countedIndexes,
    succeededIndexes,
    failedIndexes,
    delayedByIndex: hasLimitPerIndex
      ? delayedByIndex(input, active, failedIndexes ?? new Set())
      : new Map<number, Pod>(),
    record: updateRecord(input.record, newSucceeded, newFailed),
  };
  return { ...facts, ending: endingOf(input, facts, nowMs) };
}

/** The uids that status has counted but whose finalizers may be there still. */
export function uncountedOf(status: JobStatus | undefined): {
  readonly succeeded: ReadonlySet<string>;
  readonly failed: ReadonlySet<string>;
} {
  const { succeeded = [], failed = [] } = status?.uncountedTerminatedPods ?? {};
  return { succeeded: new Set(succeeded), failed: new Set(failed) };
}

function newlyEnded(input: LookInput, uncounted: ReadonlySet<string>, hasEnded: (pod: Pod) => boolean): readonly Pod[] {
  return input.pods.filter((pod) => {
    const uid = pod.metadata?.uid ?? "";
    if (!hasTrackingFinalizer(pod) || uncounted.has(uid) || input.released.has(uid)) return false;
    return (!isIndexed(input.job) || indexOf(pod, input.job) !== undefined) && hasEnded(pod);
  });
}

function withSucceeded(counted: ReadonlySet<number>, job: Job, pods: readonly Pod[]): ReadonlySet<number> {
  const all = new Set(counted);
  for (const pod of pods) {
    const index = indexOf(pod, job);
    if (index !== undefined && pod.status?.phase === "Succeeded" && hasTrackingFinalizer(pod)) all.add(index);
  }
  return all;
}

function failedIndexesOf(job: Job, pods: readonly Pod[]): ReadonlySet<number> {
  const all = parseIndexes(job.status?.failedIndexes, job.spec?.completions ?? 0);
  for (const pod of pods) {
    const index = indexOf(pod, job);
    if (index !== undefined && hasTrackingFinalizer(pod) && failsIndex(job, pod)) all.add(index);
  }
  return all;
}

/** Failed pods whose index has no active pod and has not ended: the next pod of the index takes over their count. */
function delayedByIndex(
  input: LookInput,
  active: readonly Pod[],
  failed: ReadonlySet<number>,
): ReadonlyMap<number, Pod> {
  const { job } = input;
  const activeIndexes = new Set(active.map((pod) => indexOf(pod, job)));
  const delayed = new Map<number, Pod>();
  for (const pod of newlyEnded(input, new Set(), (one) => isFailed(one, job))) {
    const index = indexOf(pod, job)!;
    if (activeIndexes.has(index) || failed.has(index)) continue;
    const other = delayed.get(index);
    if (other === undefined || indexAbsoluteFailureCount(pod) > indexAbsoluteFailureCount(other))
      delayed.set(index, pod);
  }
  return delayed;
}

type Facts = Omit<JobLook, "ending">;

/** An ending that status names stays; else failures come before successes, as upstream has it. */
function endingOf(input: LookInput, facts: Facts, nowMs: number): Ending | undefined {
  const { job, pods } = input;
  return (
    writtenEnding(job, "SuccessCriteriaMet") ??
    writtenEnding(job, "FailureTarget") ??
    failure("PodFailurePolicy", jobFailureMessage(job, pods)) ??
    limitEnding(job, pods, facts, nowMs) ??
    indexEnding(job, facts)
  );
}

function writtenEnding(job: Job, type: Ending["type"]): Ending | undefined {
  const condition = findCondition(job.status?.conditions, type);
  if (condition?.status !== "True") return undefined;
  return { type, reason: condition.reason ?? "", message: condition.message ?? "" };
}

function failure(reason: string, message: string | undefined): Ending | undefined {
  return message === undefined ? undefined : { type: "FailureTarget", reason, message };
}

function limitEnding(job: Job, pods: readonly Pod[], facts: Facts, nowMs: number): Ending | undefined {
  if (facts.failedCount > (job.spec?.backoffLimit ?? 6) || hasTooManyRestarts(job, pods)) {
    return failure("BackoffLimitExceeded", "Job has reached the specified backoff limit");
  }
  const leftMs = deadlineLeftMs(job, nowMs);
  if (leftMs === undefined || leftMs > 0) return undefined;
  return failure("DeadlineExceeded", "Job was active longer than specified deadline");
}

/** Ms until the Job has been active for too long; undefined when it has no such limit or is suspended. */
export function deadlineLeftMs(job: Job, nowMs: number): number | undefined {
  const seconds = job.spec?.activeDeadlineSeconds;
  const startTime = job.status?.startTime;
  if (seconds === undefined || !startTime || job.spec?.suspend) return undefined;
  return Date.parse(startTime) + seconds * 1000 - nowMs;
}

/** With restartPolicy OnFailure containers are restarted in their pod, and those restarts count. */
function hasTooManyRestarts(job: Job, pods: readonly Pod[]): boolean {
  if (job.spec?.template?.spec?.restartPolicy !== "OnFailure") return false;
  const limit = job.spec.backoffLimit ?? 6;
  let restarts = 0;
  for (const { status } of pods) {
    if (status?.phase !== "Running" && status?.phase !== "Pending") continue;
    const all = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
    for (const { restartCount } of all) restarts += restartCount;
  }
  return limit === 0 ? restarts > 0 : restarts >= limit;
}

function indexEnding(job: Job, facts: Facts): Ending | undefined {
  if (!isIndexed(job)) return undefined;
  const failed = facts.failedIndexes?.size ?? 0;
  const most = job.spec?.maxFailedIndexes;
  if (most !== undefined && failed > most) {
    return failure("MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes");
  }
  if (failed > 0 && failed + facts.succeededIndexes.size >= (job.spec?.completions ?? 0)) {
    return failure("FailedIndexes", "Job has failed indexes");
  }
  const message = successMessage(job, facts.succeededIndexes);
  return message === undefined ? undefined : { type: "SuccessCriteriaMet", reason: "SuccessPolicy", message };
}

/** A condition with status True. */
export function conditionOf(
  type: string,
  words: { readonly reason: string; readonly message: string },
  nowMs: number,
): JobCondition {
  const now = formatTime(nowMs);
  return {
    type,
    status: "True",
    reason: words.reason,
    message: words.message,
    lastProbeTime: now,
    lastTransitionTime: now,
  };
}

/** True when the Job is over and says so. */
export function isFinished(job: Job): boolean {
  return (
    job.status?.conditions?.some(
      ({ type, status }) => (type === "Complete" || type === "Failed") && status === "True",
    ) ?? false
  );
}
