/**
 * The arithmetic of a Deployment: how many pods there may and must be, and how a change of size is spread over its ReplicaSets. Pure functions.
 */
import type { Deployment, DeploymentStatus, ReplicaSet } from "#api/generated/types/apps-v1.ts";
import { scaledValue } from "#apimachinery/int-or-string.ts";

const maxReplicasAnnotation = "deployment.kubernetes.io/max-replicas";

/** spec.replicas, 1 when absent. */
export function desiredReplicasOf(object: Deployment | ReplicaSet): number {
  return object.spec?.replicas ?? 1;
}

/** True for the strategy RollingUpdate, which is the default. */
export function isRollingUpdate(deployment: Deployment): boolean {
  return (deployment.spec?.strategy?.type ?? "RollingUpdate") === "RollingUpdate";
}

/** Pods beyond the desired number that a rollout may have, rounded up. */
export function maxSurge(deployment: Deployment): number {
  return isRollingUpdate(deployment) ? fenceposts(deployment).surge : 0;
}

/** Pods below the desired number that a rollout may lack, rounded down. */
export function maxUnavailable(deployment: Deployment): number {
  const desired = desiredReplicasOf(deployment);
  if (!isRollingUpdate(deployment) || desired === 0) return 0;
  return Math.min(fenceposts(deployment).unavailable, desired);
}

function fenceposts(deployment: Deployment): { readonly surge: number; readonly unavailable: number } {
  const desired = desiredReplicasOf(deployment);
  const { maxSurge: surge = "25%", maxUnavailable: unavailable = "25%" } =
    deployment.spec?.strategy?.rollingUpdate ?? {};
  const resolved = { surge: scaledValue(surge, desired, true), unavailable: scaledValue(unavailable, desired, false) };
  // Both may round to zero, and then nothing could ever move.
  return resolved.surge === 0 && resolved.unavailable === 0 ? { surge: 0, unavailable: 1 } : resolved;
}

/** Sums of what sets ask for and have. */
export function sumOf(sets: readonly ReplicaSet[], count: (set: ReplicaSet) => number | undefined): number {
  return sets.reduce((sum, set) => sum + (count(set) ?? 0), 0);
}

/** How large the newest set may be now. */
export function newSetReplicas(deployment: Deployment, allSets: readonly ReplicaSet[], newSetSize: number): number {
  const desired = desiredReplicasOf(deployment);
  if (!isRollingUpdate(deployment)) return desired;
  const room = desired + maxSurge(deployment) - sumOf(allSets, desiredReplicasOf);
  return room <= 0 ? newSetSize : newSetSize + Math.min(room, desired - newSetSize);
}

/** All desired pods are of the newest template and available, and no old one is left. */
export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const desired = desiredReplicasOf(deployment);
  return (
    (status.updatedReplicas ?? 0) === desired &&
    (status.replicas ?? 0) === desired &&
    (status.availableReplicas ?? 0) === desired &&
    (status.observedGeneration ?? 0) >= (deployment.metadata?.generation ?? 0)
  );
}

/** Something moved towards completion between the two. */
export function hasProgressed(before: DeploymentStatus, after: DeploymentStatus): boolean {
  const old = (status: DeploymentStatus) => (status.replicas ?? 0) - (status.updatedReplicas ?? 0);
  return (
    (after.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    old(after) < old(before) ||
    (after.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (after.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

/** New sizes of the active sets after the Deployment was scaled in the middle of a rollout: each grows or shrinks in proportion, the largest takes the rest. */
export function proportionalSizes(
  deployment: Deployment,
  active: readonly ReplicaSet[],
): ReadonlyMap<ReplicaSet, number> {
  const desired = desiredReplicasOf(deployment);
  const allowed = desired > 0 ? desired + maxSurge(deployment) : 0;
  const toAdd = allowed - sumOf(active, desiredReplicasOf);
  const sizes = new Map<ReplicaSet, number>();
  const sorted = [...active].sort((a, b) => bySize(a, b, toAdd >= 0));
  let added = 0;
  for (const set of sorted) {
    const share = toAdd === 0 ? 0 : proportionOf(set, deployment, toAdd, added);
    sizes.set(set, desiredReplicasOf(set) + share);
    added += share;
  }
  const [largest] = sorted;
  if (largest !== undefined && toAdd !== 0) sizes.set(largest, Math.max(0, sizes.get(largest)! + toAdd - added));
  return sizes;
}

function proportionOf(set: ReplicaSet, deployment: Deployment, toAdd: number, added: number): number {
  const size = desiredReplicasOf(set);
  if (size === 0 || toAdd === added) return 0;
  const allowed = toAdd - added;
  const share = shareOf(set, size, deployment);
  return toAdd > 0 ? Math.min(share, allowed) : Math.max(share, allowed);
}

/** What the set's part of the whole was, applied to the new whole. */
function shareOf(set: ReplicaSet, size: number, deployment: Deployment): number {
  const desired = desiredReplicasOf(deployment);
  if (desired === 0) return -size;
  const annotated = Number(set.metadata?.annotations?.[maxReplicasAnnotation]);
  // Somebody removed the annotation: the present size stands in for it.
  const before = annotated > 0 ? annotated : (deployment.status?.replicas ?? 0);
  if (before === 0) return 0;
  return Math.round((size * (desired + maxSurge(deployment))) / before) - size;
}

/** Larger first; of equal ones the newer first when growing, the older first when shrinking. */
function bySize(a: ReplicaSet, b: ReplicaSet, newerFirst: boolean): number {
  const difference = desiredReplicasOf(b) - desiredReplicasOf(a);
  return difference !== 0 ? difference : newerFirst ? byAge(b, a) : byAge(a, b);
}

/** Older first; of the same second by name. */
export function byAge(a: ReplicaSet, b: ReplicaSet): number {
  const [left, right] = [a.metadata?.creationTimestamp ?? "", b.metadata?.creationTimestamp ?? ""];
  if (left !== right) return left < right ? -1 : 1;
  return (a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1;
}
