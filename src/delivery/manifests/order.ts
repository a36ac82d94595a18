/**
 * The order in which objects are applied: what others stand on comes first. As kustomize's legacy order.
 */
import type { Manifest } from "./read-manifests.ts";

const first: readonly string[] = [
  "Namespace",
  "ResourceQuota",
  "StorageClass",
  "CustomResourceDefinition",
  "ServiceAccount",
  "Role",
  "ClusterRole",
  "RoleBinding",
  "ClusterRoleBinding",
  "ConfigMap",
  "Secret",
  "Endpoints",
  "Service",
  "LimitRange",
  "PriorityClass",
  "PersistentVolume",
  "PersistentVolumeClaim",
  "Deployment",
  "StatefulSet",
  "CronJob",
  "PodDisruptionBudget",
];
const last: readonly string[] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/** Sorted; those of one kind stay as they stand. */
export function inOrder(manifests: readonly Manifest[]): readonly Manifest[] {
  return manifests.toSorted((one, other) => rankOf(one) - rankOf(other));
}

function rankOf({ object }: Manifest): number {
  const kind = String(object["kind"]);
  const index = first.indexOf(kind);
  if (index >= 0) return index;
  return last.includes(kind) ? first.length + 1 : first.length;
}
