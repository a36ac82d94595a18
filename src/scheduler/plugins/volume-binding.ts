/**
 * Keeps pods waiting whose PersistentVolumeClaims are not there or not bound. As upstream's plugin of the name for claims that are bound at once; those whose class says
 * WaitForFirstConsumer are treated alike, since nobody binds them here when a pod has come.
 */
import type { PersistentVolumeClaim, Volume } from "#api/generated/types/core-v1.ts";
import type { ClusterView, FilterPlugin } from "#scheduler/framework.ts";
import type { PodInfo } from "#scheduler/pod-info.ts";

const bindCompleted = "pv.kubernetes.io/bind-completed";

export const volumeBinding: FilterPlugin = {
  name: "VolumeBinding",
  prepareFilter: () => undefined,
  refusePod(pod, view) {
    const claims: PersistentVolumeClaim[] = [];
    for (const volume of pod.pod.spec?.volumes ?? []) {
      const name = claimNameOf(pod, volume);
      if (name === undefined) continue;
      const found = findUsable(pod, volume, name, view);
      if (typeof found === "string") return found;
      claims.push(found);
    }
    return claims.every(isBound) ? undefined : "pod has unbound immediate PersistentVolumeClaims";
  },
  mayHelp(change, pod) {
    if (change.kind !== "claimChanged" || change.claim.metadata?.namespace !== pod.namespace) return false;
    return (pod.pod.spec?.volumes ?? []).some((volume) => claimNameOf(pod, volume) === change.claim.metadata?.name);
  },
};

function claimNameOf({ pod }: PodInfo, { name, persistentVolumeClaim, ephemeral }: Volume): string | undefined {
  if (persistentVolumeClaim) return persistentVolumeClaim.claimName;
  return ephemeral ? `${pod.metadata?.name}-${name}` : undefined;
}

/** The claim, or why the pod cannot use it. */
function findUsable(
  pod: PodInfo,
  { ephemeral }: Volume,
  name: string,
  view: ClusterView,
): PersistentVolumeClaim | string {
  const claim = view.findClaim(pod.namespace, name);
  const quoted = `persistentvolumeclaim ${JSON.stringify(name)}`;
  if (claim === undefined)
    return ephemeral ? `waiting for ephemeral volume controller to create the ${quoted}` : `${quoted} not found`;
  const { metadata, spec, status } = claim;
  if (status?.phase === "Lost")
    return `${quoted} bound to non-existent persistentvolume ${JSON.stringify(spec?.volumeName ?? "")}`;
  return metadata?.deletionTimestamp === undefined ? claim : `${quoted} is being deleted`;
}

function isBound({ metadata, spec }: PersistentVolumeClaim): boolean {
  return Boolean(spec?.volumeName) && metadata?.annotations?.[bindCompleted] !== undefined;
}
