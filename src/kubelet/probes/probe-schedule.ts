/**
 * When a probe looks. *Regular* looks stand on a grid of whole periods and count as upstream's do: the first comes one period after the container's start, as in
 * pkg/kubelet/prober/worker.go, where the worker's ticker begins with the pod. An adopted container keeps the grid of its own start, so the looks of a restarted
 * agent are spread as they were (upstream waits a random part of the period for that).
 *
 * *Eager* looks come before the first regular one, from the initial delay on: 0, 50, 125, 238, … ms. They are beyond upstream and let a server that listens after 80 ms
 * be Ready after 125 ms. Such a look counts only when it succeeds: no event, no failure.
 */
import type { Probe } from "#api/generated/types/core-v1.ts";

const firstPauseMs = 50;
/** Commands cost a process each: fewer of them. */
const firstExecPauseMs = 200;
const pauseGrowth = 1.5;

export type ProbeSchedule = {
  readonly periodMs: number;
  /** Until the first eager look, from now. */
  readonly eagerInMs: number;
  /** Until the first regular look, from now. */
  readonly regularInMs: number;
};

export type ScheduleFacts = {
  readonly nowMs: number;
  /** When the container's process was started. */
  readonly startedMs: number;
  /** Where the grid begins: the container's start, or the moment from which this probe had to do anything. */
  readonly originMs: number;
};

/** When the probe looks first. */
export function scheduleOf(probe: Probe, { nowMs, startedMs, originMs }: ScheduleFacts): ProbeSchedule {
  const periodMs = Math.max(1, probe.periodSeconds ?? 10) * 1000;
  const delayEndMs = startedMs + (probe.initialDelaySeconds ?? 0) * 1000;
  const eagerMs = Math.max(nowMs, delayEndMs);
  const periods = Math.max(1, Math.ceil((eagerMs - originMs) / periodMs));
  return { periodMs, eagerInMs: eagerMs - nowMs, regularInMs: originMs + periods * periodMs - nowMs };
}

/** The pause after an eager look that did not succeed; `last` is the one before it. */
export function eagerPauseMs(probe: Probe, last: number | undefined): number {
  if (last !== undefined) return Math.round(last * pauseGrowth);
  return probe.exec ? firstExecPauseMs : firstPauseMs;
}
