/**
 * The table of strategies, by group and kind. Kinds that are not in it behave as upstream's simplest.
 */
import {
  mutatingAdmissionPolicyBindingStrategy,
  mutatingAdmissionPolicyStrategy,
  validatingAdmissionPolicyBindingStrategy,
  validatingAdmissionPolicyStrategy,
} from "./admissionregistration/admissionpolicy.ts";
import {
  mutatingWebhookConfigurationStrategy,
  validatingWebhookConfigurationStrategy,
} from "./admissionregistration/webhookconfiguration.ts";
import { customResourceDefinitionStrategy } from "./apiextensions/customresourcedefinition.ts";
import { apiServiceStrategy } from "./apiregistration/apiservice.ts";
import { controllerRevisionStrategy } from "./apps/controllerrevision.ts";
import { daemonSetStrategy } from "./apps/daemonset.ts";
import { deploymentStrategy } from "./apps/deployment.ts";
import { replicaSetStrategy } from "./apps/replicaset.ts";
import { statefulSetStrategy } from "./apps/statefulset.ts";
import { horizontalPodAutoscalerStrategy } from "./autoscaling/horizontalpodautoscaler.ts";
import { cronJobStrategy } from "./batch/cronjob.ts";
import { jobStrategy } from "./batch/job.ts";
import { certificateSigningRequestStrategy } from "./certificates/certificatesigningrequest.ts";
import { leaseStrategy } from "./coordination/lease.ts";
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
import { endpointSliceStrategy } from "./discovery/endpointslice.ts";
import { flowSchemaStrategy, priorityLevelConfigurationStrategy } from "./flowcontrol/flowcontrol.ts";
import { ipAddressStrategy, serviceCidrStrategy } from "./networking/addresses.ts";
import { ingressStrategy } from "./networking/ingress.ts";
import { ingressClassStrategy } from "./networking/ingressclass.ts";
import { networkPolicyStrategy } from "./networking/networkpolicy.ts";
import { runtimeClassStrategy } from "./node/runtimeclass.ts";
import { podDisruptionBudgetStrategy } from "./policy/poddisruptionbudget.ts";
import { clusterRoleBindingStrategy, roleBindingStrategy } from "./rbac/role-binding.ts";
import { clusterRoleStrategy, roleStrategy } from "./rbac/role.ts";
import {
  resourceClaimStrategy,
  resourceClaimTemplateStrategy,
  resourceSliceStrategy,
} from "./resource/resourceclaim.ts";
import { priorityClassStrategy } from "./scheduling/priorityclass.ts";
import {
  csiDriverStrategy,
  csiNodeStrategy,
  csiStorageCapacityStrategy,
  volumeAttachmentStrategy,
  volumeAttributesClassStrategy,
} from "./storage/csi.ts";
import { storageClassStrategy } from "./storage/storageclass.ts";
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
  ["admissionregistration.k8s.io/MutatingAdmissionPolicy", mutatingAdmissionPolicyStrategy],
  ["admissionregistration.k8s.io/MutatingAdmissionPolicyBinding", mutatingAdmissionPolicyBindingStrategy],
  ["admissionregistration.k8s.io/MutatingWebhookConfiguration", mutatingWebhookConfigurationStrategy],
  ["admissionregistration.k8s.io/ValidatingAdmissionPolicy", validatingAdmissionPolicyStrategy],
  ["admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding", validatingAdmissionPolicyBindingStrategy],
  ["admissionregistration.k8s.io/ValidatingWebhookConfiguration", validatingWebhookConfigurationStrategy],
  ["apiextensions.k8s.io/CustomResourceDefinition", customResourceDefinitionStrategy],
  ["apiregistration.k8s.io/APIService", apiServiceStrategy],
  ["apps/ControllerRevision", controllerRevisionStrategy],
  ["apps/DaemonSet", daemonSetStrategy],
  ["apps/Deployment", deploymentStrategy],
  ["apps/ReplicaSet", replicaSetStrategy],
  ["apps/StatefulSet", statefulSetStrategy],
  ["autoscaling/HorizontalPodAutoscaler", horizontalPodAutoscalerStrategy],
  ["batch/CronJob", cronJobStrategy],
  ["batch/Job", jobStrategy],
  ["certificates.k8s.io/CertificateSigningRequest", certificateSigningRequestStrategy],
  ["coordination.k8s.io/Lease", leaseStrategy],
  ["discovery.k8s.io/EndpointSlice", endpointSliceStrategy],
  ["events.k8s.io/Event", eventStrategy],
  ["flowcontrol.apiserver.k8s.io/FlowSchema", flowSchemaStrategy],
  ["flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration", priorityLevelConfigurationStrategy],
  ["networking.k8s.io/IPAddress", ipAddressStrategy],
  ["networking.k8s.io/Ingress", ingressStrategy],
  ["networking.k8s.io/IngressClass", ingressClassStrategy],
  ["networking.k8s.io/NetworkPolicy", networkPolicyStrategy],
  ["networking.k8s.io/ServiceCIDR", serviceCidrStrategy],
  ["node.k8s.io/RuntimeClass", runtimeClassStrategy],
  ["policy/PodDisruptionBudget", podDisruptionBudgetStrategy],
  ["rbac.authorization.k8s.io/ClusterRole", clusterRoleStrategy],
  ["rbac.authorization.k8s.io/ClusterRoleBinding", clusterRoleBindingStrategy],
  ["rbac.authorization.k8s.io/Role", roleStrategy],
  ["rbac.authorization.k8s.io/RoleBinding", roleBindingStrategy],
  ["resource.k8s.io/ResourceClaim", resourceClaimStrategy],
  ["resource.k8s.io/ResourceClaimTemplate", resourceClaimTemplateStrategy],
  ["resource.k8s.io/ResourceSlice", resourceSliceStrategy],
  ["scheduling.k8s.io/PriorityClass", priorityClassStrategy],
  ["storage.k8s.io/CSIDriver", csiDriverStrategy],
  ["storage.k8s.io/CSINode", csiNodeStrategy],
  ["storage.k8s.io/CSIStorageCapacity", csiStorageCapacityStrategy],
  ["storage.k8s.io/StorageClass", storageClassStrategy],
  ["storage.k8s.io/VolumeAttachment", volumeAttachmentStrategy],
  ["storage.k8s.io/VolumeAttributesClass", volumeAttributesClassStrategy],
]);

/** The strategy of a kind; an empty one for kinds without. */
export function strategyOf(group: string, kind: string): KindStrategy {
  return (strategies.get(`${group}/${kind}`) ?? none) as KindStrategy;
}
