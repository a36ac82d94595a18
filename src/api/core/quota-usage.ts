/**
 * What objects count against a ResourceQuota, and which quotas they count against. As pkg/quota/v1/evaluator/core; admission charges by it, the controller adds up by it.
 */
import type { PersistentVolumeClaim, Pod, ResourceQuota, Service } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { addQuantities, parseQuantity, type Quantity, quantityOf } from "#apimachinery/quantity.ts";
import { podLimits, podRequests, type ResourceAmounts } from "./pod-resources.ts";
import { qosClassOf } from "./pod-qos.ts";

/** Resources of the core group that are counted under their own name too. */
const plainNames = new Set([
  "configmaps",
  "secrets",
  "replicationcontrollers",
  "resourcequotas",
  "persistentvolumeclaims",
  "services",
  "pods",
]);
const one: Quantity = quantityOf(1);

/** What the object counts: empty for those that count nothing. `resource` and `group` as in its URL. */
export function quotaUsage(group: string, resource: string, object: KubeObject): ResourceAmounts {
  const usage = new Map<string, Quantity>([[group === "" ? `count/${resource}` : `count/${resource}.${group}`, one]]);
  if (group !== "") return usage;
  if (resource === "pods") return addPod(usage, object as Pod);
  if (plainNames.has(resource)) usage.set(resource, one);
  if (resource === "services") addService(usage, object as Service);
  if (resource === "persistentvolumeclaims") addClaim(usage, object as PersistentVolumeClaim);
  return usage;
}

/** True when the quota is about such objects: by its scopes. Quotas with scopes are about pods only. */
export function matchesQuotaScopes({ spec }: ResourceQuota, resource: string, object: KubeObject): boolean {
  const plain = (spec?.scopes ?? []).map((scopeName) => ({
    scopeName,
    operator: "Exists",
    values: [] as readonly string[],
  }));
  const selected = (spec?.scopeSelector?.matchExpressions ?? []).map((one) => ({ ...one, values: one.values ?? [] }));
  const scopes = [...plain, ...selected];
  if (scopes.length === 0) return true;
  return resource === "pods" && scopes.every((scope) => isInScope(scope, object as Pod));
}

/** Resources that, when a quota bounds them, every container must name. */
export function missingForQuota(pod: Pod, bounded: readonly string[]): readonly string[] {
  const wanted = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"].filter((name) =>
    bounded.includes(name),
  );
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  return wanted.sort().flatMap((name) => {
    const key = name.split(".").at(-1) as string;
    const which = name.startsWith("limits.") ? "limits" : "requests";
    if (pod.spec?.resources?.[which]?.[key] !== undefined) return [];
    const without = containers
      .filter(({ resources }) => resources?.[which]?.[key] === undefined)
      .map((container) => container.name);
    return without.length === 0 ? [] : [`${name} for: ${[...new Set(without)].sort().join(",")}`];
  });
}

function addPod(usage: Map<string, Quantity>, pod: Pod): ResourceAmounts {
  const phase = pod.status?.phase;
  if (phase === "Failed" || phase === "Succeeded") return usage;
  usage.set("pods", one);
  for (const [name, amount] of podRequests(pod)) {
    if (name === "cpu" || name === "memory" || name === "ephemeral-storage" || name.startsWith("hugepages-"))
      usage.set(name, amount);
    usage.set(`requests.${name}`, amount);
  }
  for (const [name, amount] of podLimits(pod)) {
    if (name === "cpu" || name === "memory" || name === "ephemeral-storage") usage.set(`limits.${name}`, amount);
  }
  return usage;
}

function addService(usage: Map<string, Quantity>, { spec }: Service): void {
  const ports = spec?.ports ?? [];
  if (spec?.type === "NodePort") usage.set("services.nodeports", quantityOf(ports.length));
  if (spec?.type !== "LoadBalancer") return;
  usage.set("services.loadbalancers", one);
  const isAllocated = spec.allocateLoadBalancerNodePorts !== false;
  usage.set(
    "services.nodeports",
    quantityOf(isAllocated ? ports.length : ports.filter(({ nodePort }) => nodePort).length),
  );
}

function addClaim(usage: Map<string, Quantity>, { spec, metadata }: PersistentVolumeClaim): void {
  const storageClass = metadata?.annotations?.["volume.beta.kubernetes.io/storage-class"] ?? spec?.storageClassName;
  const text = spec?.resources?.requests?.["storage"];
  const prefix = storageClass ? `${storageClass}.storageclass.storage.k8s.io/` : undefined;
  if (prefix) usage.set(`${prefix}persistentvolumeclaims`, one);
  if (text === undefined) return;
  usage.set("requests.storage", parseQuantity(text));
  if (prefix) usage.set(`${prefix}requests.storage`, parseQuantity(text));
}

type Scope = { readonly scopeName: string; readonly operator: string; readonly values: readonly string[] };

function isInScope({ scopeName, operator, values }: Scope, { spec }: Pod): boolean {
  switch (scopeName) {
    case "Terminating":
      return spec?.activeDeadlineSeconds !== undefined;
    case "NotTerminating":
      return spec?.activeDeadlineSeconds === undefined;
    case "BestEffort":
      return qosClassOf({ ...spec }) === "BestEffort";
    case "NotBestEffort":
      return qosClassOf({ ...spec }) !== "BestEffort";
    case "PriorityClass":
      return matchesValue(operator, values, spec?.priorityClassName ?? "");
    case "CrossNamespacePodAffinity":
      return usesOtherNamespaces(spec);
    default:
      return false;
  }
}

function matchesValue(operator: string, values: readonly string[], value: string): boolean {
  if (operator === "Exists") return value !== "";
  if (operator === "DoesNotExist") return value === "";
  return operator === "In" ? values.includes(value) : !values.includes(value);
}

function usesOtherNamespaces(spec: Pod["spec"]): boolean {
  const terms = [spec?.affinity?.podAffinity, spec?.affinity?.podAntiAffinity].flatMap((affinity) => [
    ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ podAffinityTerm }) => podAffinityTerm),
  ]);
  return terms.some(
    ({ namespaces, namespaceSelector }) => (namespaces?.length ?? 0) > 0 || namespaceSelector !== undefined,
  );
}

/** Adds up amounts by name. */
export function sumAmounts(all: Iterable<ResourceAmounts>): Map<string, Quantity> {
  const sum = new Map<string, Quantity>();
  for (const amounts of all) {
    for (const [name, amount] of amounts) {
      const before = sum.get(name);
      sum.set(name, before ? addQuantities(before, amount) : amount);
    }
  }
  return sum;
}
