/**
 * How many pods a Job should have now, which of them are too many, and which are to be made. Pure functions.
 */
import type { Job } from "#api/generated/types/batch-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { podsToDelete } from "#controllers/replicaset/deletion-order.ts";
import { firstMissing } from "./completion-indexes.ts";
import { remainingMs, remainingMsOfIndex } from "./job-backoff.ts";
import type { JobLook } from "./job-look.ts";
import { indexOf, isIndexed } from "./job-pods.ts";

/** How many pods should run now. */
export function wantedActive(job: Job, look: JobLook): number {
  const { completions, parallelism = 1 } = job.spec ?? {};
  if (completions === undefined) return look.succeededCount > 0 ? look.active.length : parallelism;
  return Math.max(0, Math.min(parallelism, completions - look.succeededCount));
}

/** Pods to delete: of indexed Jobs those that have no place among the indexes, then any until it is few enough. */
export function surplusPods(job: Job, look: JobLook, atLeast: number, nowMs: number): readonly Pod[] {
  const misfits = isIndexed(job) ? misfitsOf(job, look.active) : [];
  if (misfits.length >= atLeast) return misfits;
  const rest = look.active.filter((pod) => !misfits.includes(pod));
  return [...misfits, ...podsToDelete(rest, [], atLeast - misfits.length, nowMs)];
}

function misfitsOf(job: Job, active: readonly Pod[]): readonly Pod[] {
  const misfits: Pod[] = [];
  const taken = new Set<number>();
  const oldestFirst = [...active].sort((a, b) =>
    (a.metadata?.creationTimestamp ?? "") < (b.metadata?.creationTimestamp ?? "") ? -1 : 1,
  );
  for (const pod of oldestFirst) {
    const index = indexOf(pod, job);
    if (index === undefined || taken.has(index)) misfits.push(pod);
    else taken.add(index);
  }
  return misfits;
}

/** The indexes to create pods for (undefined each for Jobs without), or how long to wait until there are some. */
export function planCreations(
  job: Job,
  look: JobLook,
  missing: number,
  nowMs: number,
): { readonly indexes: readonly (number | undefined)[]; readonly waitMs: number | undefined } {
  const hasLimitPerIndex = look.failedIndexes !== undefined;
  const waitMs = hasLimitPerIndex ? 0 : remainingMs(look.record, nowMs);
  if (waitMs > 0) return { indexes: [], waitMs };
  if (!isIndexed(job)) return { indexes: Array.from({ length: missing }, () => undefined), waitMs: undefined };
  const active = new Set(look.active.map((pod) => indexOf(pod, job)).filter((index) => index !== undefined));
  const failed = look.failedIndexes ?? new Set<number>();
  const indexes = firstMissing(missing, job.spec?.completions ?? 0, look.succeededIndexes, active, failed);
  if (!hasLimitPerIndex) return { indexes, waitMs: undefined };
  const waits = indexes.map((index) => remainingMsOfIndex(look.delayedByIndex.get(index), nowMs));
  const ready = indexes.filter((_, nth) => waits[nth] === 0);
  return { indexes: ready, waitMs: ready.length === 0 && waits.length > 0 ? Math.min(...waits) : undefined };
}
