/**
 * The resources that controllers work on, and the informers that several of them share.
 */
import type { Namespace, Node, Pod } from "#api/generated/types/core-v1.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import type { Informer } from "#client/informer.ts";
import type { ControllerContext } from "#client/controller.ts";
import { controllerOf } from "#apimachinery/owner-references.ts";

function core(resource: string): GroupVersionResource {
  return { group: "", version: "v1", resource };
}

function apps(resource: string): GroupVersionResource {
  return { group: "apps", version: "v1", resource };
}

export const pods: GroupVersionResource = core("pods");
export const nodes: GroupVersionResource = core("nodes");
export const namespaces: GroupVersionResource = core("namespaces");
export const services: GroupVersionResource = core("services");
export const endpoints: GroupVersionResource = core("endpoints");
export const configMaps: GroupVersionResource = core("configmaps");
export const secrets: GroupVersionResource = core("secrets");
export const serviceAccounts: GroupVersionResource = core("serviceaccounts");
export const persistentVolumeClaims: GroupVersionResource = core("persistentvolumeclaims");
export const persistentVolumes: GroupVersionResource = core("persistentvolumes");
export const replicationControllers: GroupVersionResource = core("replicationcontrollers");
export const resourceQuotas: GroupVersionResource = core("resourcequotas");
export const replicaSets: GroupVersionResource = apps("replicasets");
export const deployments: GroupVersionResource = apps("deployments");
export const statefulSets: GroupVersionResource = apps("statefulsets");
export const daemonSets: GroupVersionResource = apps("daemonsets");
export const controllerRevisions: GroupVersionResource = apps("controllerrevisions");
export const jobs: GroupVersionResource = { group: "batch", version: "v1", resource: "jobs" };
export const cronJobs: GroupVersionResource = { group: "batch", version: "v1", resource: "cronjobs" };
export const leases: GroupVersionResource = { group: "coordination.k8s.io", version: "v1", resource: "leases" };
export const endpointSlices: GroupVersionResource = {
  group: "discovery.k8s.io",
  version: "v1",
  resource: "endpointslices",
};
export const podDisruptionBudgets: GroupVersionResource = {
  group: "policy",
  version: "v1",
  resource: "poddisruptionbudgets",
};

/** Index of objects by the uid of the controller that owns them. */
export const byController = "controller";
/** Index of objects that no controller owns, by namespace. */
export const byOrphanNamespace = "orphan";
/** Index of pods by the node that they are bound to. */
export const byNode = "node";

/** All pods, by controller, orphans by namespace, and by node. */
export function podInformer(context: Pick<ControllerContext, "informers">): Informer<Pod> {
  const nodeOf = (pod: Pod): readonly string[] => (pod.spec?.nodeName ? [pod.spec.nodeName] : []);
  return ownedInformer<Pod>(context, pods, { [byNode]: nodeOf });
}

/** All objects of a resource whose owners matter, by controller and orphans by namespace. */
export function ownedInformer<T extends KubeObject>(
  context: Pick<ControllerContext, "informers">,
  resource: GroupVersionResource,
  indexes: Readonly<Record<string, (object: T) => readonly string[]>> = {},
): Informer<T> {
  const controllerUid = (object: T): readonly string[] => {
    const owner = controllerOf(object);
    return owner === undefined ? [] : [owner.uid];
  };
  const orphanNamespace = (object: T): readonly string[] =>
    controllerOf(object) === undefined ? [object.metadata?.namespace ?? ""] : [];
  return context.informers.informer<T>({
    resource,
    indexes: { [byController]: controllerUid, [byOrphanNamespace]: orphanNamespace, ...indexes },
  });
}

/** All nodes. */
export function nodeInformer(context: Pick<ControllerContext, "informers">): Informer<Node> {
  return context.informers.informer<Node>({ resource: nodes });
}

/** All namespaces. */
export function namespaceInformer(context: Pick<ControllerContext, "informers">): Informer<Namespace> {
  return context.informers.informer<Namespace>({ resource: namespaces });
}
