/**
 * Counts the ended pods of a Job without ever counting one twice: first status names their uids, then they lose the finalizer that kept them, then the counters move and the uids
 * go. Whatever crashes in between, the next look goes on from there.
 */
import type { Job, JobCondition, JobStatus } from "#api/generated/types/batch-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { findObject } from "#client/find-object.ts";
import { findCondition, withoutCondition } from "#controllers/common/conditions.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { jobs, pods as podsResource } from "#controllers/common/resources.ts";
import { formatIndexes } from "./completion-indexes.ts";
import { conditionOf, uncountedOf } from "./job-look.ts";
import type { Ending, JobLook } from "./job-look.ts";
import { judgeFailure } from "./job-policies.ts";
import { hasTrackingFinalizer, indexOf, isFailed, isIndexed, trackingFinalizer } from "./job-pods.ts";

/** Pods counted in one look, at most: their uids stand in status. */
const maxUncounted = 500;

export type WriterOptions = {
  readonly client: Client;
  readonly job: Job;
  readonly pods: readonly Pod[];
  readonly look: JobLook;
  /** As in LookInput; uids are added before their finalizers go. */
  readonly released: Set<string>;
  /** The state to write besides the counters. */
  readonly next: Pick<JobStatus, "startTime" | "active" | "ready" | "terminating"> & {
    readonly conditions: readonly JobCondition[];
  };
  /** Set when the Job may end now. */
  readonly ending: Ending | undefined;
  readonly nowMs: number;
  readonly signal: AbortSignal;
};

/** What became of the Job; `finished` when it said so for good. */
export type Written = { readonly job: Job; readonly finished: JobCondition | undefined };

type Counters = { succeeded: number; failed: number; uncountedSucceeded: string[]; uncountedFailed: string[] };

/** Writes what the look found. Throws when a finalizer could not be removed or status not be written. */
export async function writeJob(options: WriterOptions): Promise<Written> {
  const { look, pods, released } = options;
  const counters = countersOf(options.job);
  const held = new Set(
    pods
      .filter((pod) => hasTrackingFinalizer(pod) && !released.has(pod.metadata?.uid ?? ""))
      .map((pod) => pod.metadata?.uid ?? ""),
  );
  settle(counters, held);
  const { releasable, isCut, indexes } = collect(options, counters, held);
  if (isIndexed(options.job)) counters.succeeded = indexes.size;
  const conditions = withEnding(options.next.conditions, options.ending, options.nowMs);
  const status = statusOf(options, counters, indexes, conditions);
  let job = await writeStatus(options, options.job, status);

  const failure = await releaseAll(options, releasable, held);
  settle(counters, held);
  const mayEnd = options.ending !== undefined && !isCut && failure === undefined && isSettled(counters);
  const finished =
    mayEnd && look.terminatingCount === 0 && options.next.terminating === 0 ? finalCondition(options) : undefined;
  const final = finished === undefined ? conditions : [...withoutCondition(conditions, finished.type), finished];
  job = await writeStatus(options, job, withCompletion(statusOf(options, counters, indexes, final), finished));
  if (failure !== undefined) throw failure;
  return { job, finished };
}

function countersOf(job: Job): Counters {
  const { succeeded, failed } = uncountedOf(job.status);
  return {
    succeeded: job.status?.succeeded ?? 0,
    failed: job.status?.failed ?? 0,
    uncountedSucceeded: [...succeeded],
    uncountedFailed: [...failed],
  };
}

/** Pods that have lost their finalizer are counted for good. */
function settle(counters: Counters, held: ReadonlySet<string>): void {
  const succeeded = counters.uncountedSucceeded.filter((uid) => held.has(uid));
  const failed = counters.uncountedFailed.filter((uid) => held.has(uid));
  counters.succeeded += counters.uncountedSucceeded.length - succeeded.length;
  counters.failed += counters.uncountedFailed.length - failed.length;
  counters.uncountedSucceeded = succeeded;
  counters.uncountedFailed = failed;
}

function isSettled(counters: Counters): boolean {
  return counters.uncountedSucceeded.length + counters.uncountedFailed.length === 0;
}

/** Finds the pods to release and enters their uids. */
function collect(options: WriterOptions, counters: Counters, held: ReadonlySet<string>) {
  const { job, look, ending } = options;
  const succeeded = new Set(counters.uncountedSucceeded);
  const failed = new Set(counters.uncountedFailed);
  const indexes = new Set(look.countedIndexes);
  const releasable: Pod[] = [];
  let counted = 0;
  for (const pod of options.pods) {
    const uid = pod.metadata?.uid ?? "";
    if (!held.has(uid) || !mayRelease(options, pod)) continue;
    if (counted >= maxUncounted) return { releasable, indexes, isCut: true };
    releasable.push(pod);
    const index = indexOf(pod, job);
    const isCountable = !isIndexed(job) || index !== undefined;
    if (pod.status?.phase === "Succeeded" && !failed.has(uid)) {
      if (isIndexed(job)) counted += index !== undefined && !indexes.has(index) ? 1 : 0;
      if (isIndexed(job) && index !== undefined) indexes.add(index);
      if (!isIndexed(job) && !succeeded.has(uid)) counted += counters.uncountedSucceeded.push(uid) > 0 ? 1 : 0;
      continue;
    }
    // Once the Job has failed, every pod that has not ended is a failed one.
    const isFailure = isFailed(pod, job) || ending?.type === "FailureTarget";
    if (!isFailure || failed.has(uid) || !isCountable || !judgeFailure(job, pod).countsAsFailure) continue;
    counters.uncountedFailed.push(uid);
    counted++;
  }
  return { releasable, indexes, isCut: false };
}

function mayRelease(options: WriterOptions, pod: Pod): boolean {
  const { job, look, ending } = options;
  if (job.metadata?.deletionTimestamp !== undefined || ending !== undefined || pod.status?.phase === "Succeeded")
    return true;
  if (!isFailed(pod, job)) return false;
  const index = indexOf(pod, job);
  return index === undefined || look.delayedByIndex.get(index) !== pod;
}

async function releaseAll(options: WriterOptions, pods: readonly Pod[], held: Set<string>): Promise<unknown> {
  let failure: unknown;
  const release = async (pod: Pod) => {
    const uid = pod.metadata?.uid ?? "";
    options.released.add(uid);
    try {
      await removeFinalizer(options.client, pod, options.signal);
      held.delete(uid);
    } catch (error) {
      options.released.delete(uid);
      failure ??= error;
    }
  };
  await Promise.all(pods.map(release));
  return failure;
}

/** Takes the tracking finalizer off a pod. A pod that is gone is success. */
export async function removeFinalizer(client: Client, pod: Pod, signal: AbortSignal): Promise<void> {
  const { namespace = "", name = "", uid, resourceVersion } = pod.metadata ?? {};
  const ref = { resource: podsResource, namespace, name };
  const without = (finalizers: readonly string[]) => finalizers.filter((one) => one !== trackingFinalizer);
  try {
    const body = { metadata: { uid, resourceVersion, finalizers: without(pod.metadata?.finalizers ?? []) } };
    await client.patch(ref, { type: "merge", body }, { signal });
  } catch (error) {
    if (hasReason(error, "NotFound")) return;
    if (!hasReason(error, "Conflict")) throw error;
    const fresh = await findPod(client, pod, signal);
    if (fresh === undefined || fresh.metadata?.uid !== uid || !hasTrackingFinalizer(fresh)) return;
    await removeFinalizer(client, fresh, signal);
  }
}

async function findPod(client: Client, pod: Pod, signal: AbortSignal): Promise<Pod | undefined> {
  const { namespace = "", name = "" } = pod.metadata ?? {};
  return await findObject<Pod>(client, { resource: podsResource, namespace, name }, { signal });
}

/** The interim condition, which says why the Job ends while its pods are let go. */
function withEnding(
  conditions: readonly JobCondition[],
  ending: Ending | undefined,
  nowMs: number,
): readonly JobCondition[] {
  if (ending === undefined || findCondition(conditions, ending.type)?.status === "True") return conditions;
  return [...withoutCondition(conditions, ending.type), conditionOf(ending.type, ending, nowMs)];
}

function finalCondition(options: WriterOptions): JobCondition {
  const ending = options.ending!;
  return conditionOf(ending.type === "FailureTarget" ? "Failed" : "Complete", ending, options.nowMs);
}

function withCompletion(status: JobStatus, finished: JobCondition | undefined): JobStatus {
  if (finished?.type !== "Complete" || finished.lastTransitionTime === undefined) return status;
  return { ...status, completionTime: finished.lastTransitionTime };
}

function statusOf(
  options: WriterOptions,
  counters: Counters,
  indexes: ReadonlySet<number>,
  conditions: readonly JobCondition[],
): JobStatus {
  const { next, look, job } = options;
  const { uncountedSucceeded, uncountedFailed } = counters;
  return {
    ...(job.status?.completionTime === undefined ? {} : { completionTime: job.status.completionTime }),
    ...next,
    conditions,
    succeeded: counters.succeeded,
    failed: counters.failed,
    uncountedTerminatedPods: {
      ...(uncountedSucceeded.length === 0 ? {} : { succeeded: [...uncountedSucceeded] }),
      ...(uncountedFailed.length === 0 ? {} : { failed: [...uncountedFailed] }),
    },
    ...(isIndexed(job) ? { completedIndexes: formatIndexes(indexes) } : {}),
    ...(look.failedIndexes === undefined ? {} : { failedIndexes: formatIndexes(look.failedIndexes) }),
  };
}

async function writeStatus(options: WriterOptions, job: Job, status: JobStatus): Promise<Job> {
  if (semanticEqual(essential(job.status), essential(status))) return job;
  const { namespace = "", name = "" } = job.metadata ?? {};
  const ref = { resource: jobs, namespace, name, subresource: "status" };
  return await options.client.update<Job>(ref, { ...job, status }, { signal: options.signal });
}

/** Zeros and empty strings may or may not be there. */
function essential(status: JobStatus | undefined): object {
  return Object.fromEntries(Object.entries(status ?? {}).filter(([, value]) => value !== 0 && value !== ""));
}
