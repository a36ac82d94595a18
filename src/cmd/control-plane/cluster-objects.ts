/**
 * Objects that every cluster of nodeless has beside upstream's: the rights of the nodes' network parts and of those who read metrics, the Service of cluster DNS, the classes of isolates and of
 * Ingresses.
 * Made at each start when they are missing.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { addressPlan, nodeName } from "#cmd/machine/address-plan.ts";
import { type Cluster, nodeNames } from "#cmd/machine/clusters.ts";
import { defaultClassAnnotation, ingressClassName, ingressController } from "#network/ingress/ingress-class.ts";
import { isolatesOnlyToleration } from "#cmd/node/isolates-only.ts";

/** Group of the certificates with which service proxies and DNS read. */
export const networkGroup = "nodeless:node-network";
/** Group of the certificate with which the process that delivers events reads and writes. Its rights are made with the first of them: `dispatcher-objects.ts`. */
export const eventingGroup = "nodeless:eventing";
const ingressRoleName = "nodeless:node-ingress";

const rbac = { group: "rbac.authorization.k8s.io", version: "v1" };

/** Makes what is missing; what is there is left as it is. Nodes that the cluster had and was told to have no more are deleted. */
export async function ensureClusterObjects(client: Client, cluster: Cluster): Promise<void> {
  await Promise.all([ensureObjects(client, cluster), deleteSurplusNodes(client, cluster)]);
}

async function deleteSurplusNodes(client: Client, { record }: Cluster): Promise<void> {
  const nodes: ResourceRef = { resource: { group: "", version: "v1", resource: "nodes" } };
  const wanted = nodeNames(record);
  const only = nodeName(record.name, 1, 0);
  const { items } = await client.list(nodes);
  const surplus = items
    .map(({ metadata }) => metadata?.name ?? "")
    .filter((name) => name === only || (name.startsWith(`${only}-`) && /^\d+$/.test(name.slice(only.length + 1))))
    .filter((name) => !wanted.includes(name));
  for (const name of surplus) {
    await client.delete({ ...nodes, name });
    await deletePodsOf(client, name);
  }
}

/** At once: nothing of that node is left, and the garbage collector of pods would wait a while to be sure of it. */
async function deletePodsOf(client: Client, nodeName: string): Promise<void> {
  const resource = { group: "", version: "v1", resource: "pods" };
  const { items } = await client.list({ resource }, { fieldSelector: `spec.nodeName=${nodeName}` });
  for (const { metadata } of items) {
    const ref = { resource, namespace: metadata?.namespace ?? "", name: metadata?.name ?? "" };
    await client.delete(ref, { gracePeriodSeconds: 0 });
  }
}

async function ensureObjects(client: Client, { record }: Cluster): Promise<void> {
  const objects: readonly { readonly ref: ResourceRef; readonly object: KubeObject }[] = [
    { ref: { resource: { ...rbac, resource: "clusterroles" } }, object: networkRole() },
    { ref: { resource: { ...rbac, resource: "clusterroles" } }, object: ingressRole() },
    { ref: { resource: { ...rbac, resource: "clusterroles" } }, object: metricsReaderRole() },
    { ref: { resource: { ...rbac, resource: "clusterrolebindings" } }, object: bindingToNetworks(networkGroup) },
    { ref: { resource: { ...rbac, resource: "clusterrolebindings" } }, object: bindingToNetworks(ingressRoleName) },
    {
      ref: { resource: { group: "", version: "v1", resource: "services" }, namespace: "kube-system" },
      object: dnsService(addressPlan(record).dnsService),
    },
    ...isolateClasses(record).map((name) => ({
      ref: { resource: { group: "node.k8s.io", version: "v1", resource: "runtimeclasses" } },
      object: isolateClass(name),
    })),
  ];
  await Promise.all([...objects.map(({ ref, object }) => ensure(client, ref, object)), ensureIngressClass(client)]);
}

/** Ours is the default one where there is none when it is made; later that is its owner's to say. */
async function ensureIngressClass(client: Client): Promise<void> {
  const ref = { resource: { group: "networking.k8s.io", version: "v1", resource: "ingressclasses" } };
  const { items } = await client.list(ref);
  if (items.some(({ metadata }) => metadata?.name === ingressClassName)) return;
  const hasDefault = items.some(({ metadata }) => metadata?.annotations?.[defaultClassAnnotation] === "true");
  await ensure(client, ref, {
    apiVersion: "networking.k8s.io/v1",
    kind: "IngressClass",
    metadata: {
      name: ingressClassName,
      ...(hasDefault ? {} : { annotations: { [defaultClassAnnotation]: "true" } }),
    },
    spec: { controller: ingressController },
  } as KubeObject);
}

async function ensure(client: Client, ref: ResourceRef, object: KubeObject): Promise<void> {
  try {
    await client.get({ ...ref, name: object.metadata?.name ?? "" });
  } catch (error) {
    if (!hasReason(error, "NotFound")) throw error;
    await client.create(ref, object);
  }
}

/** Packing takes a network for each pod, so it takes root. */
function isolateClasses({ isRootless }: Cluster["record"]): readonly string[] {
  return isRootless ? ["isolate"] : ["isolate", "isolate-packed"];
}

/** Every node can run isolates beside containers, so it asks for no particular one. */
function isolateClass(name: string): KubeObject {
  return {
    apiVersion: "node.k8s.io/v1",
    kind: "RuntimeClass",
    metadata: { name },
    handler: name,
    // Of nodes without root, which run nothing else.
    scheduling: { tolerations: [isolatesOnlyToleration] },
  } as KubeObject;
}

function networkRole(): KubeObject {
  const read = ["get", "list", "watch"];
  const rules = [
    { apiGroups: [""], resources: ["services", "endpoints", "namespaces", "nodes", "pods"], verbs: read },
    { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: read },
    { apiGroups: ["networking.k8s.io"], resources: ["networkpolicies", "servicecidrs"], verbs: read },
    { apiGroups: ["", "events.k8s.io"], resources: ["events"], verbs: ["create", "patch", "update"] },
  ];
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: networkGroup },
    rules,
  } as KubeObject;
}

/** Beside the network role, which clusters made by older versions have as it was. The Secrets of certificates are in Roles of their namespaces. */
function ingressRole(): KubeObject {
  const resources = ["ingresses", "ingressclasses"];
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: ingressRoleName },
    rules: [{ apiGroups: ["networking.k8s.io"], resources, verbs: ["get", "list", "watch"] }],
  } as KubeObject;
}

function bindingToNetworks(role: string): KubeObject {
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: role },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "Group", name: networkGroup }],
  } as KubeObject;
}

/** Whoever may view a namespace may see what its pods use, as metrics-server brings it; under a name of our own, so that one can be installed. */
function metricsReaderRole(): KubeObject {
  const aggregated = ["view", "edit", "admin"].map((role) => [
    `rbac.authorization.k8s.io/aggregate-to-${role}`,
    "true",
  ]);
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "nodeless:aggregated-metrics-reader", labels: Object.fromEntries(aggregated) },
    rules: [{ apiGroups: ["metrics.k8s.io"], resources: ["pods", "nodes"], verbs: ["get", "list"] }],
  } as KubeObject;
}

function dnsService(clusterIP: string): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: "kube-dns",
      namespace: "kube-system",
      labels: {
        "k8s-app": "kube-dns",
        "kubernetes.io/cluster-service": "true",
        "kubernetes.io/name": "CoreDNS",
        // Each node answers at this address itself: the service proxy must keep its hands off.
        "service.kubernetes.io/service-proxy-name": "nodeless-dns",
      },
    },
    spec: {
      clusterIP,
      ports: [
        { name: "dns", port: 53, protocol: "UDP" },
        { name: "dns-tcp", port: 53, protocol: "TCP" },
      ],
    },
  } as KubeObject;
}
