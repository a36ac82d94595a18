/**
 * Lets deleted PersistentVolumeClaims and PersistentVolumes go once nobody uses them: admission gave them a finalizer (storage-object-in-use-protection.ts) that nobody else takes away. As
 * kube-controller-manager's pvc-protection and pv-protection controllers.
 */
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { persistentVolumeClaims, persistentVolumes, podInformer, pods } from "#controllers/common/resources.ts";

const claimFinalizer = "kubernetes.io/pvc-protection";
const volumeFinalizer = "kubernetes.io/pv-protection";

/** The controller of claims: one goes when no pod that has a node uses it. */
export function createClaimProtection(context: ControllerContext): NamedController {
  const controller = new KeyedController(context, {
    name: "persistentvolumeclaim-protection-controller",
    reconcile: async (key, signal) => {
      const { namespace, name } = splitKey(key);
      const claim = claims.lister.find(namespace, name);
      if (claim === undefined || !isHeld(claim, claimFinalizer)) return;
      // Not from the informer: a pod may just have got its node.
      const { items } = await context.client.list<Pod>({ resource: pods, namespace }, { signal });
      if (!items.some((pod) => usesClaim(pod, name)))
        await release(context, { resource: persistentVolumeClaims, object: claim, finalizer: claimFinalizer }, signal);
    },
  });
  const enqueue = (claim: PersistentVolumeClaim) => {
    if (isHeld(claim, claimFinalizer)) controller.queue.add(keyOf(claim));
  };
  const enqueueClaimsOf = (pod: Pod) => {
    for (const volume of pod.spec?.volumes ?? []) {
      const name = claimNameOf(pod, volume);
      if (name !== undefined) controller.queue.add(`${pod.metadata?.namespace}/${name}`);
    }
  };
  const claims = controller.watch(
    context.informers.informer<PersistentVolumeClaim>({ resource: persistentVolumeClaims }),
    { onAdd: enqueue, onUpdate: (_, claim) => enqueue(claim) },
  );
  controller.watch(podInformer(context), {
    onUpdate: (_, pod) => {
      if (isShutDown(pod)) enqueueClaimsOf(pod);
    },
    onDelete: enqueueClaimsOf,
  });
  return controller;
}

/** The controller of volumes: one goes when it is bound to no claim. */
export function createVolumeProtection(context: ControllerContext): NamedController {
  const controller = new KeyedController(context, {
    name: "persistentvolume-protection-controller",
    reconcile: async (key, signal) => {
      const volume = volumes.lister.find("", splitKey(key).name);
      if (volume !== undefined && isFree(volume))
        await release(context, { resource: persistentVolumes, object: volume, finalizer: volumeFinalizer }, signal);
    },
  });
  const enqueue = (volume: PersistentVolume) => {
    if (isFree(volume)) controller.queue.add(keyOf(volume));
  };
  const volumes = controller.watch(context.informers.informer<PersistentVolume>({ resource: persistentVolumes }), {
    onAdd: enqueue,
    onUpdate: (_, volume) => enqueue(volume),
  });
  return controller;
}

function isFree(volume: PersistentVolume): boolean {
  return isHeld(volume, volumeFinalizer) && volume.status?.phase !== "Bound";
}

/** Whether the object is to go, and the finalizer keeps it. */
function isHeld({ metadata }: KubeObject, finalizer: string): boolean {
  return metadata?.deletionTimestamp !== undefined && (metadata.finalizers ?? []).includes(finalizer);
}

function usesClaim(pod: Pod, name: string): boolean {
  // One without a node does not get to run any more: the kubelet refuses claims that are being deleted.
  if (!pod.spec?.nodeName) return false;
  return (pod.spec.volumes ?? []).some(
    (volume) => claimNameOf(pod, volume) === name && !(volume.ephemeral && isShutDown(pod)),
  );
}

function claimNameOf({ metadata }: Pod, { name, persistentVolumeClaim, ephemeral }: Volume): string | undefined {
  return persistentVolumeClaim?.claimName ?? (ephemeral ? `${metadata?.name}-${name}` : undefined);
}

/** Its containers have ended and its volumes are gone; only finalizers may keep it. */
function isShutDown({ metadata }: Pod): boolean {
  return metadata?.deletionTimestamp !== undefined && metadata.deletionGracePeriodSeconds === 0;
}

type Release = {
  readonly resource: GroupVersionResource;
  readonly object: KubeObject;
  readonly finalizer: string;
};

async function release(
  { client }: ControllerContext,
  { resource, object, finalizer }: Release,
  signal: AbortSignal,
): Promise<void> {
  const { name = "", namespace, finalizers = [] } = object.metadata ?? {};
  const rest = finalizers.filter((one) => one !== finalizer);
  const ref = { resource, name, ...(namespace === undefined ? {} : { namespace }) };
  try {
    await client.update(ref, { ...object, metadata: { ...object.metadata, finalizers: rest } }, { signal });
  } catch (error) {
    if (!hasReason(error, "NotFound")) throw error;
  }
}
