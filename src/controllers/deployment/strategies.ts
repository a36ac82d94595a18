/**
 * The ways from old pods to new ones: rolling, recreate, and plain scaling. Same algorithms as kube-controller-manager's.
 */
import type { ReplicaSet } from "#api/generated/types/apps-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { isPodFinished } from "#controllers/common/pods.ts";
import {
  byAge,
  desiredReplicasOf,
  isComplete,
  isRollingUpdate,
  maxUnavailable,
  newSetReplicas,
  proportionalSizes,
  sumOf,
} from "./replicas.ts";
import { desiredReplicasAnnotation } from "./revisions.ts";
import type { Rollout } from "./rollout.ts";

/** New pods come up and old ones go down step by step. One direction at a time, so that each look acts on what is true. */
export async function rollingUpdate(rollout: Rollout): Promise<void> {
  const newSet = await rollout.ensureNewSet();
  if (await growNewSet(rollout, newSet)) return;
  if (await shrinkOldSets(rollout)) return;
  if (isComplete(rollout.deployment, rollout.deployment.status ?? {})) await rollout.cleanUp();
}

/** All old pods go before the first new one comes. */
export async function recreate(rollout: Rollout, podsOf: (set: ReplicaSet) => readonly Pod[]): Promise<void> {
  await rollout.syncNewSet();
  let hasScaledDown = false;
  for (const set of rollout.oldSets) hasScaledDown = (await rollout.scale(set, 0)) || hasScaledDown;
  if (hasScaledDown || hasOldPods(rollout, podsOf)) return;
  const newSet = await rollout.ensureNewSet();
  await rollout.scale(newSet, desiredReplicasOf(rollout.deployment));
  if (isComplete(rollout.deployment, rollout.deployment.status ?? {})) await rollout.cleanUp();
}

/** True when the Deployment's size was changed since its sets were last scaled. */
export function isScaling(rollout: Rollout): boolean {
  return active(rollout.allSets).some((set) => {
    const annotated = set.metadata?.annotations?.[desiredReplicasAnnotation];
    return annotated !== undefined && Number(annotated) !== desiredReplicasOf(rollout.deployment);
  });
}

/** Brings the sets to the Deployment's size without moving pods from one to another. */
export async function scaleSets(rollout: Rollout): Promise<void> {
  const { deployment, newSet } = rollout;
  const activeSets = active(rollout.allSets);
  if (activeSets.length <= 1) {
    const only = activeSets[0] ?? newSet ?? [...rollout.oldSets].sort(byAge).at(-1);
    if (only !== undefined) await rollout.scale(only, desiredReplicasOf(deployment));
    return;
  }
  if (newSet !== undefined && isSaturated(rollout, newSet)) {
    for (const set of active(rollout.oldSets)) await rollout.scale(set, 0);
    return;
  }
  if (!isRollingUpdate(deployment)) return;
  for (const [set, size] of proportionalSizes(deployment, activeSets)) await rollout.scale(set, size, { force: true });
}

async function growNewSet(rollout: Rollout, newSet: ReplicaSet): Promise<boolean> {
  const [size, desired] = [desiredReplicasOf(newSet), desiredReplicasOf(rollout.deployment)];
  if (size === desired) return false;
  const next = size > desired ? desired : newSetReplicas(rollout.deployment, rollout.allSets, size);
  return await rollout.scale(newSet, next);
}

async function shrinkOldSets(rollout: Rollout): Promise<boolean> {
  const { deployment, newSet } = rollout;
  if (newSet === undefined || sumOf(rollout.oldSets, desiredReplicasOf) === 0) return false;
  const minAvailable = desiredReplicasOf(deployment) - maxUnavailable(deployment);
  // New pods that are not available yet must not cost further old ones.
  const newUnavailable = desiredReplicasOf(newSet) - (newSet.status?.availableReplicas ?? 0);
  const removable = rollout.totalReplicas - minAvailable - newUnavailable;
  if (removable <= 0) return false;
  const unhealthy = await removeUnhealthy(rollout, removable);
  const available = sumOf(rollout.allSets, (set) => set.status?.availableReplicas);
  const healthy = await removeOldest(rollout, available - minAvailable);
  return unhealthy + healthy > 0;
}

/** Old pods that do not work go first: they serve nobody and would hold up the rollout. */
async function removeUnhealthy(rollout: Rollout, most: number): Promise<number> {
  let removed = 0;
  for (const set of active(rollout.oldSets)) {
    const size = desiredReplicasOf(set);
    const count = Math.min(most - removed, size - (set.status?.availableReplicas ?? 0));
    if (count <= 0) continue;
    await rollout.scale(set, size - count);
    removed += count;
  }
  return removed;
}

async function removeOldest(rollout: Rollout, most: number): Promise<number> {
  let removed = 0;
  for (const set of active(rollout.oldSets)) {
    const size = desiredReplicasOf(set);
    const count = Math.min(size, most - removed);
    if (count <= 0) continue;
    await rollout.scale(set, size - count);
    removed += count;
  }
  return removed;
}

function active(sets: readonly ReplicaSet[]): readonly ReplicaSet[] {
  return sets.filter((set) => desiredReplicasOf(set) > 0);
}

/** The new set has all pods, they are available, and both know it. */
function isSaturated(rollout: Rollout, newSet: ReplicaSet): boolean {
  const desired = desiredReplicasOf(rollout.deployment);
  const annotated = Number(newSet.metadata?.annotations?.[desiredReplicasAnnotation]);
  return (
    desiredReplicasOf(newSet) === desired &&
    annotated === desired &&
    (newSet.status?.availableReplicas ?? 0) === desired
  );
}

function hasOldPods(rollout: Rollout, podsOf: (set: ReplicaSet) => readonly Pod[]): boolean {
  const { oldSets } = rollout;
  if (sumOf(oldSets, (set) => set.status?.replicas) > 0) return true;
  return oldSets.some((set) => podsOf(set).some((pod) => !isPodFinished(pod)));
}
