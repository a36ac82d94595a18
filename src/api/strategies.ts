/**
 * The table of strategies, by group and kind. Kinds that are not in it behave as upstream's simplest.
 */
import { customResourceDefinitionStrategy } from "./apiextensions/customresourcedefinition.ts";
import { controllerRevisionStrategy } from "./apps/controllerrevision.ts";
import { daemonSetStrategy } from "./apps/daemonset.ts";
import { deploymentStrategy } from "./apps/deployment.ts";
import { replicaSetStrategy } from "./apps/replicaset.ts";
import { statefulSetStrategy } from "./apps/statefulset.ts";
import { cronJobStrategy } from "./batch/cronjob.ts";
import { jobStrategy } from "./batch/job.ts";
import { configMapStrategy } from "./core/configmap.ts";
import { endpointsStrategy } from "./core/endpoints.ts";
import { eventStrategy } from "./core/event.ts";
import { limitRangeStrategy } from "./core/limitrange.ts";
import { namespaceStrategy } from "./core/namespace.ts";
import { nodeStrategy } from "./core/node.ts";
import { persistentVolumeStrategy } from "./core/persistentvolume.ts";
import { persistentVolumeClaimStrategy } from "./core/persistentvolumeclaim.ts";
import { podStrategy } from "./core/pod.ts";
import { podTemplateStrategy } from "./core/podtemplate.ts";
import { replicationControllerStrategy } from "./core/replicationcontroller.ts";
import { resourceQuotaStrategy } from "./core/resourcequota.ts";
import { secretStrategy } from "./core/secret.ts";
import { serviceStrategy } from "./core/service.ts";
import { serviceAccountStrategy } from "./core/serviceaccount.ts";
import { clusterRoleStrategy, roleStrategy } from "./rbac/role.ts";
import { clusterRoleBindingStrategy, roleBindingStrategy } from "./rbac/role-binding.ts";
import type { KindStrategy } from "./strategy.ts";

const none: KindStrategy = {};

const strategies: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ["/ConfigMap", configMapStrategy],
  ["/Endpoints", endpointsStrategy],
  ["/Event", eventStrategy],
  ["/LimitRange", limitRangeStrategy],
  ["/Namespace", namespaceStrategy],
  ["/Node", nodeStrategy],
  ["/PersistentVolume", persistentVolumeStrategy],
  ["/PersistentVolumeClaim", persistentVolumeClaimStrategy],
  ["/Pod", podStrategy],
  ["/PodTemplate", podTemplateStrategy],
  ["/ReplicationController", replicationControllerStrategy],
  ["/ResourceQuota", resourceQuotaStrategy],
  ["/Secret", secretStrategy],
  ["/Service", serviceStrategy],
  ["/ServiceAccount", serviceAccountStrategy],
  ["apiextensions.k8s.io/CustomResourceDefinition", customResourceDefinitionStrategy],
  ["apps/ControllerRevision", controllerRevisionStrategy],
  ["apps/DaemonSet", daemonSetStrategy],
  ["apps/Deployment", deploymentStrategy],
  ["apps/ReplicaSet", replicaSetStrategy],
  ["apps/StatefulSet", statefulSetStrategy],
  ["batch/CronJob", cronJobStrategy],
  ["batch/Job", jobStrategy],
  ["rbac.authorization.k8s.io/ClusterRole", clusterRoleStrategy],
  ["rbac.authorization.k8s.io/ClusterRoleBinding", clusterRoleBindingStrategy],
  ["rbac.authorization.k8s.io/Role", roleStrategy],
  ["rbac.authorization.k8s.io/RoleBinding", roleBindingStrategy],
]);

/** The strategy of a kind; an empty one for kinds without. */
export function strategyOf(group: string, kind: string): KindStrategy {
  return (strategies.get(`${group}/${kind}`) ?? none) as KindStrategy;
}
