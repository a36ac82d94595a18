/**
 * How long a Job waits before it replaces failed pods: 10 s after the first failure, doubled with each further one, at most 10 minutes. A success starts over.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import { finishedMs, indexAbsoluteFailureCount } from "./job-pods.ts";

const firstMs = 10_000;
const maxMs = 600_000;

/** Failures since the last success. */
export type FailureRecord = { readonly failures: number; readonly lastFailureMs: number };

export const noFailures: FailureRecord = { failures: 0, lastFailureMs: 0 };

/** The record with what ended since. */
export function updateRecord(record: FailureRecord, succeeded: readonly Pod[], failed: readonly Pod[]): FailureRecord {
  const failedMs = failed.map(finishedMs);
  if (succeeded.length === 0) {
    if (failed.length === 0) return record;
    return { failures: record.failures + failed.length, lastFailureMs: Math.max(...failedMs) };
  }
  const lastSuccessMs = Math.max(...succeeded.map(finishedMs));
  const later = failedMs.filter((ms) => ms > lastSuccessMs);
  return later.length === 0 ? noFailures : { failures: later.length, lastFailureMs: Math.max(...later) };
}

/** Ms until pods may be created again; 0 for now. */
export function remainingMs(record: FailureRecord, nowMs: number): number {
  if (record.failures === 0) return 0;
  const waitMs = Math.min(maxMs, firstMs * 2 ** Math.min(record.failures - 1, 10));
  return Math.max(0, record.lastFailureMs + waitMs - nowMs);
}

/** Likewise for one index, by its last failed pod. */
export function remainingMsOfIndex(lastFailed: Pod | undefined, nowMs: number): number {
  if (lastFailed === undefined) return 0;
  const record = { failures: indexAbsoluteFailureCount(lastFailed) + 1, lastFailureMs: finishedMs(lastFailed) };
  return remainingMs(record, nowMs);
}
