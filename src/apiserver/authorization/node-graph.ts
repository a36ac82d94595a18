/**
 * Which node uses which objects: through the pods that are bound to it, their volumes' claims and persistent volumes, and volume attachments.
 * As plugin/pkg/auth/authorizer/node's graph, kept as counts per object and node, so that a question is two look-ups.
 */
import type { PersistentVolume, Pod } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import type { Clock } from "#component-base/clock.ts";
import { followReferences, objectsUsedBy } from "./pod-references.ts";

/** An object that hangs on a node by name: a VolumeAttachment or a ResourceSlice. */
type WithNodeName = KubeObject & { readonly spec?: { readonly nodeName?: string } };

/** Where the graph gets its objects from. */
export type NodeGraphInformers = {
  readonly pods: Informer<Pod>;
  readonly persistentVolumes: Informer<PersistentVolume>;
  readonly volumeAttachments: Informer<WithNodeName>;
  readonly resourceSlices: Informer<WithNodeName>;
};

/** The informers that the graph needs. */
export function nodeGraphInformers(factory: InformerFactory): NodeGraphInformers {
  return {
    pods: followReferences(factory),
    persistentVolumes: factory.informer({ resource: { group: "", version: "v1", resource: "persistentvolumes" } }),
    volumeAttachments: factory.informer({
      resource: { group: "storage.k8s.io", version: "v1", resource: "volumeattachments" },
    }),
    resourceSlices: factory.informer({
      resource: { group: "resource.k8s.io", version: "v1", resource: "resourceslices" },
    }),
  };
}

/** Follows pods and volumes, and knows what each node may read. */
export class NodeGraph {
  readonly #informers: NodeGraphInformers;
  /** "secrets/NAMESPACE/NAME" → node → how many of its pods use it. */
  readonly #uses = new Map<string, Map<string, number>>();
  readonly #waiting = new Map<() => void, string>();
  /** "secrets/NAMESPACE/NAME" → names of persistent volumes that need it. */
  readonly #volumesOfSecret = new Map<string, Set<string>>();

  constructor(informers: NodeGraphInformers) {
    this.#informers = informers;
  }

  /** Follows the informers. The returned function ends that. */
  follow(): () => void {
    const removers = [
      this.#informers.pods.addHandler({
        onAdd: (pod) => this.#count(pod, 1),
        onUpdate: (before, after) => this.#update(before, after),
        onDelete: (pod) => this.#count(pod, -1),
      }),
      this.#informers.persistentVolumes.addHandler({
        onAdd: (volume) => this.#addVolume(volume),
        onUpdate: (before, after) => {
          this.#removeVolume(before);
          this.#addVolume(after);
        },
        onDelete: (volume) => this.#removeVolume(volume),
      }),
    ];
    return () => {
      for (const remove of removers) remove();
    };
  }

  /** Resolves when a pod comes to the node or leaves it, or after `waitMs`. */
  nextChange(node: string, clock: Clock, waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = clock.setTimer(waitMs, finish);
      const waiting = this.#waiting;
      waiting.set(finish, node);
      function finish(): void {
        timer.clear();
        waiting.delete(finish);
        resolve();
      }
    });
  }

  /** True when a pod of the node uses the object: "pods", "secrets", "configmaps", "persistentvolumeclaims", "serviceaccounts", "resourceclaims". */
  isUsed(node: string, resource: string, namespace: string, name: string): boolean {
    const key = `${resource}/${namespace}/${name}`;
    if (this.#uses.get(key)?.has(node)) return true;
    if (resource !== "secrets") return false;
    return [...(this.#volumesOfSecret.get(key) ?? [])].some((volume) => this.isVolumeUsed(node, volume));
  }

  /** True when a pod of the node uses the claim that the persistent volume is bound to. */
  isVolumeUsed(node: string, name: string): boolean {
    const claim = this.#informers.persistentVolumes.lister.find("", name)?.spec?.claimRef;
    return claim !== undefined && this.isUsed(node, "persistentvolumeclaims", claim.namespace ?? "", claim.name ?? "");
  }

  /** True when the volume attachment or resource slice is the node's. */
  isAttached(node: string, kind: "volumeAttachments" | "resourceSlices", name: string): boolean {
    return this.#informers[kind].lister.find("", name)?.spec?.nodeName === node;
  }

  #update(before: Pod, after: Pod): void {
    // Nearly all updates are of status; what a bound pod uses changes with ephemeral containers and resource claims only.
    const isSame =
      before.metadata?.uid === after.metadata?.uid &&
      before.spec?.nodeName === after.spec?.nodeName &&
      before.spec?.ephemeralContainers?.length === after.spec?.ephemeralContainers?.length &&
      before.status?.resourceClaimStatuses?.length === after.status?.resourceClaimStatuses?.length;
    if (isSame) return;
    this.#count(before, -1);
    this.#count(after, 1);
  }

  #count(pod: Pod, by: 1 | -1): void {
    const node = pod.spec?.nodeName;
    if (!node) return;
    for (const [finish, waitedFor] of this.#waiting) if (waitedFor === node) finish();
    for (const key of objectsUsedBy(pod)) {
      const nodes = this.#uses.get(key) ?? new Map<string, number>();
      const count = (nodes.get(node) ?? 0) + by;
      if (count > 0) nodes.set(node, count);
      else nodes.delete(node);
      if (nodes.size > 0) this.#uses.set(key, nodes);
      else this.#uses.delete(key);
    }
  }

  #addVolume(volume: PersistentVolume): void {
    for (const secret of secretsOf(volume)) {
      const volumes = this.#volumesOfSecret.get(secret) ?? new Set<string>();
      this.#volumesOfSecret.set(secret, volumes.add(volume.metadata?.name ?? ""));
    }
  }

  #removeVolume(volume: PersistentVolume): void {
    for (const secret of secretsOf(volume)) {
      const volumes = this.#volumesOfSecret.get(secret);
      volumes?.delete(volume.metadata?.name ?? "");
      if (volumes?.size === 0) this.#volumesOfSecret.delete(secret);
    }
  }
}

/** Secrets that a node needs to mount a bound volume. */
function secretsOf({ spec }: PersistentVolume): readonly string[] {
  const namespace = spec?.claimRef?.namespace;
  if (!spec || namespace === undefined) return [];
  const { csi } = spec;
  const refs = [
    csi?.nodePublishSecretRef,
    csi?.nodeStageSecretRef,
    csi?.nodeExpandSecretRef,
    spec.cephfs?.secretRef,
    spec.rbd?.secretRef,
    spec.iscsi?.secretRef,
    spec.flexVolume?.secretRef,
    spec.scaleIO?.secretRef,
    spec.storageos?.secretRef,
    spec.azureFile && {
      name: spec.azureFile.secretName,
      ...(spec.azureFile.secretNamespace ? { namespace: spec.azureFile.secretNamespace } : {}),
    },
  ];
  return refs.flatMap((ref) => (ref?.name ? [`secrets/${ref.namespace || namespace}/${ref.name}`] : []));
}
