/**
 * Which printer makes a resource's Table. The same for all versions of a resource.
 */
import * as access from "./printers/access.ts";
import { column, nameColumn, nameOf } from "./printers/cells.ts";
import * as cluster from "./printers/cluster.ts";
import * as devices from "./printers/devices.ts";
import * as network from "./printers/network.ts";
import { podPrinter } from "./printers/pods.ts";
import * as storage from "./printers/storage.ts";
import * as workloads from "./printers/workloads.ts";
import type { TablePrinter } from "./strategy.ts";

/** Name and creation time: what upstream shows of kinds that nobody wrote columns for. */
export const defaultTablePrinter: TablePrinter = {
  columns: [nameColumn, column("Created At", { type: "date" })],
  row: (object) => [nameOf(object), object["metadata"]?.creationTimestamp ?? ""],
};

/** By "resource" or "resource.group". */
const printers: ReadonlyMap<string, TablePrinter> = new Map([
  ["pods", podPrinter],
  ["podtemplates", workloads.podTemplatePrinter],
  ["replicationcontrollers", workloads.replicationControllerPrinter],
  ["services", network.servicePrinter],
  ["endpoints", network.endpointsPrinter],
  ["nodes", cluster.nodePrinter],
  ["namespaces", cluster.namespacePrinter],
  ["events", cluster.eventPrinter],
  ["configmaps", cluster.configMapPrinter],
  ["secrets", cluster.secretPrinter],
  ["serviceaccounts", cluster.nameAndAgePrinter],
  ["persistentvolumes", storage.persistentVolumePrinter],
  ["persistentvolumeclaims", storage.persistentVolumeClaimPrinter],
  ["resourcequotas", cluster.resourceQuotaPrinter],
  ["componentstatuses", cluster.componentStatusPrinter],
  ["deployments.apps", workloads.deploymentPrinter],
  ["replicasets.apps", workloads.replicaSetPrinter],
  ["statefulsets.apps", workloads.statefulSetPrinter],
  ["daemonsets.apps", workloads.daemonSetPrinter],
  ["controllerrevisions.apps", workloads.controllerRevisionPrinter],
  ["jobs.batch", workloads.jobPrinter],
  ["cronjobs.batch", workloads.cronJobPrinter],
  ["horizontalpodautoscalers.autoscaling", workloads.horizontalPodAutoscalerPrinter],
  ["poddisruptionbudgets.policy", workloads.podDisruptionBudgetPrinter],
  ["endpointslices.discovery.k8s.io", network.endpointSlicePrinter],
  ["ingresses.networking.k8s.io", network.ingressPrinter],
  ["ingressclasses.networking.k8s.io", network.ingressClassPrinter],
  ["networkpolicies.networking.k8s.io", network.networkPolicyPrinter],
  ["servicecidrs.networking.k8s.io", network.serviceCidrPrinter],
  ["ipaddresses.networking.k8s.io", network.ipAddressPrinter],
  ["events.events.k8s.io", cluster.eventsGroupEventPrinter],
  ["leases.coordination.k8s.io", cluster.leasePrinter],
  ["leasecandidates.coordination.k8s.io", cluster.leaseCandidatePrinter],
  ["priorityclasses.scheduling.k8s.io", cluster.priorityClassPrinter],
  ["podgroups.scheduling.k8s.io", devices.podGroupPrinter],
  ["workloads.scheduling.k8s.io", cluster.nameAndAgePrinter],
  ["runtimeclasses.node.k8s.io", cluster.runtimeClassPrinter],
  ["storageclasses.storage.k8s.io", storage.storageClassPrinter],
  ["volumeattributesclasses.storage.k8s.io", storage.volumeAttributesClassPrinter],
  ["volumeattachments.storage.k8s.io", storage.volumeAttachmentPrinter],
  ["csinodes.storage.k8s.io", storage.csiNodePrinter],
  ["csidrivers.storage.k8s.io", storage.csiDriverPrinter],
  ["rolebindings.rbac.authorization.k8s.io", access.roleBindingPrinter],
  ["clusterrolebindings.rbac.authorization.k8s.io", access.roleBindingPrinter],
  ["certificatesigningrequests.certificates.k8s.io", access.certificateSigningRequestPrinter],
  ["clustertrustbundles.certificates.k8s.io", access.clusterTrustBundlePrinter],
  ["podcertificaterequests.certificates.k8s.io", access.podCertificateRequestPrinter],
  ["mutatingwebhookconfigurations.admissionregistration.k8s.io", access.webhookConfigurationPrinter],
  ["validatingwebhookconfigurations.admissionregistration.k8s.io", access.webhookConfigurationPrinter],
  ["validatingadmissionpolicies.admissionregistration.k8s.io", access.validatingAdmissionPolicyPrinter],
  ["validatingadmissionpolicybindings.admissionregistration.k8s.io", access.admissionPolicyBindingPrinter],
  ["mutatingadmissionpolicies.admissionregistration.k8s.io", access.mutatingAdmissionPolicyPrinter],
  ["mutatingadmissionpolicybindings.admissionregistration.k8s.io", access.admissionPolicyBindingPrinter],
  ["apiservices.apiregistration.k8s.io", access.apiServicePrinter],
  ["flowschemas.flowcontrol.apiserver.k8s.io", access.flowSchemaPrinter],
  ["prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", access.priorityLevelPrinter],
  ["storageversions.internal.apiserver.k8s.io", access.storageVersionPrinter],
  ["storageversionmigrations.storagemigration.k8s.io", access.storageVersionMigrationPrinter],
  ["deviceclasses.resource.k8s.io", cluster.nameAndAgePrinter],
  ["resourceclaims.resource.k8s.io", devices.resourceClaimPrinter],
  ["resourceclaimtemplates.resource.k8s.io", cluster.nameAndAgePrinter],
  ["resourceslices.resource.k8s.io", devices.resourceSlicePrinter],
  ["devicetaintrules.resource.k8s.io", devices.deviceTaintRulePrinter],
  ["resourcepoolstatusrequests.resource.k8s.io", devices.resourcePoolStatusRequestPrinter],
]);

/** The printer of a resource; for the scale subresource ask for "scale". Resources without their own get {@link defaultTablePrinter}. */
export function findTablePrinter(group: string, resource: string): TablePrinter {
  if (resource === "scale") return workloads.scalePrinter;
  return printers.get(group === "" ? resource : `${resource}.${group}`) ?? defaultTablePrinter;
}
