/**
 * A Deployment's status: counts over its ReplicaSets and the conditions Available, Progressing and ReplicaFailure, in upstream's words. Pure functions.
 */
import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from "#api/generated/types/apps-v1.ts";
import { formatTime } from "#apimachinery/time.ts";
import { findCondition, withoutCondition } from "#controllers/common/conditions.ts";
import { desiredReplicasOf, hasProgressed, isComplete, maxUnavailable, sumOf } from "./replicas.ts";

export type Conditions = readonly DeploymentCondition[];

/** Status as the sets have it, with the conditions so far. */
export type StatusInput = {
  readonly deployment: Deployment;
  readonly conditions: Conditions;
  readonly collisionCount: number | undefined;
  readonly newSet: ReplicaSet | undefined;
  readonly allSets: readonly ReplicaSet[];
  readonly nowMs: number;
};

/** True when the Deployment says how long it may stand still. The largest integer means never, as upstream. */
export function hasProgressDeadline(deployment: Deployment): boolean {
  const seconds = deployment.spec?.progressDeadlineSeconds ?? 600;
  return seconds !== 2147483647;
}

export function progressDeadlineMs(deployment: Deployment): number {
  return (deployment.spec?.progressDeadlineSeconds ?? 600) * 1000;
}

/** The conditions with this one; a condition that says the same stays as it is, one with the same status keeps its time of transition. */
export function withDeploymentCondition(
  conditions: Conditions,
  next: { readonly type: string; readonly status: string; readonly reason: string; readonly message: string },
  nowMs: number,
): Conditions {
  const current = findCondition(conditions, next.type);
  if (current !== undefined && current.status === next.status && current.reason === next.reason) return conditions;
  const now = formatTime(nowMs);
  const lastTransitionTime = current?.status === next.status ? (current.lastTransitionTime ?? now) : now;
  return [...withoutCondition(conditions, next.type), { ...next, lastUpdateTime: now, lastTransitionTime }];
}

/** What somebody may wait for in a status. That fewer pods are available than wanted is not: it comes of the change that was asked for, and the next write has it. */
export function awaitedOf(status: DeploymentStatus | undefined): object {
  const { readyReplicas = 0, availableReplicas = 0, collisionCount = 0, conditions = [] } = status ?? {};
  return { readyReplicas, availableReplicas, collisionCount, conditions: withoutCondition(conditions, "Available") };
}

/** Counts and the condition Available. */
export function basicStatus(input: StatusInput): DeploymentStatus {
  const { deployment, newSet, allSets, nowMs } = input;
  const available = sumOf(allSets, (set) => set.status?.availableReplicas);
  const isAvailable = available >= desiredReplicasOf(deployment) - maxUnavailable(deployment);
  const condition = isAvailable
    ? { status: "True", reason: "MinimumReplicasAvailable", message: "Deployment has minimum availability." }
    : {
        status: "False",
        reason: "MinimumReplicasUnavailable",
        message: "Deployment does not have minimum availability.",
      };
  return {
    observedGeneration: deployment.metadata?.generation ?? 0,
    replicas: sumOf(allSets, (set) => set.status?.replicas),
    updatedReplicas: newSet?.status?.replicas ?? 0,
    readyReplicas: sumOf(allSets, (set) => set.status?.readyReplicas),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, sumOf(allSets, desiredReplicasOf) - available),
    terminatingReplicas: sumOf(allSets, (set) => set.status?.terminatingReplicas),
    ...(input.collisionCount === undefined ? {} : { collisionCount: input.collisionCount }),
    conditions: withDeploymentCondition(input.conditions, { type: "Available", ...condition }, nowMs),
  };
}

/** Status during a rollout: also how it goes on, and what its sets fail at. */
export function rolloutStatus(input: StatusInput): DeploymentStatus {
  const status = basicStatus(input);
  const conditions = withReplicaFailure(withProgress(input, status), input);
  return { ...status, conditions };
}

function withProgress(input: StatusInput, status: DeploymentStatus): Conditions {
  const { deployment, nowMs } = input;
  const conditions = status.conditions ?? [];
  if (!hasProgressDeadline(deployment)) return withoutCondition(conditions, "Progressing");
  const current = findCondition(input.conditions, "Progressing");
  // A rollout that was complete stays so: pods that come and go afterwards are no rollout.
  const wasComplete = status.replicas === status.updatedReplicas && current?.reason === "NewReplicaSetAvailable";
  if (wasComplete) return conditions;
  const next = nextProgress(input, status, current);
  if (next === undefined) return conditions;
  if (next.reason !== "ReplicaSetUpdated") return withDeploymentCondition(conditions, next, nowMs);
  const now = formatTime(nowMs);
  const lastTransitionTime = current?.status === "True" ? (current.lastTransitionTime ?? now) : now;
  return [...withoutCondition(conditions, "Progressing"), { ...next, lastUpdateTime: now, lastTransitionTime }];
}

type Progress = { readonly type: string; readonly status: string; readonly reason: string; readonly message: string };

function nextProgress(
  input: StatusInput,
  status: DeploymentStatus,
  current: DeploymentCondition | undefined,
): Progress | undefined {
  const { deployment, newSet } = input;
  const who =
    newSet === undefined ? `Deployment "${deployment.metadata?.name}"` : `ReplicaSet "${newSet.metadata?.name}"`;
  const type = "Progressing";
  if (isComplete(deployment, status)) {
    return { type, status: "True", reason: "NewReplicaSetAvailable", message: `${who} has successfully progressed.` };
  }
  if (hasProgressed(deployment.status ?? {}, status)) {
    return { type, status: "True", reason: "ReplicaSetUpdated", message: `${who} is progressing.` };
  }
  if (isTimedOut(deployment, current, input.nowMs)) {
    return { type, status: "False", reason: "ProgressDeadlineExceeded", message: `${who} has timed out progressing.` };
  }
  return undefined;
}

function isTimedOut(deployment: Deployment, current: DeploymentCondition | undefined, nowMs: number): boolean {
  if (current === undefined || current.reason === "NewReplicaSetAvailable") return false;
  if (current.reason === "ProgressDeadlineExceeded") return true;
  return Date.parse(current.lastUpdateTime ?? "") + progressDeadlineMs(deployment) < nowMs;
}

function withReplicaFailure(conditions: Conditions, input: StatusInput): Conditions {
  const sets = input.newSet === undefined ? input.allSets : [input.newSet, ...input.allSets];
  const failure = sets
    .map((set) => findCondition(set.status?.conditions, "ReplicaFailure"))
    .find((one) => one !== undefined);
  if (failure === undefined) return withoutCondition(conditions, "ReplicaFailure");
  const { type, status, reason = "", message = "" } = failure;
  return withDeploymentCondition(conditions, { type, status, reason, message }, input.nowMs);
}
