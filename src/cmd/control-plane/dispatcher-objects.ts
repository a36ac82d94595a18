/**
 * Objects that the process which delivers events needs: its rights (to read what it makes its topology of, and to say where it listens), and its API, with who may use that.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { group as eventApiGroup, version as eventApiVersion } from "#eventing/dispatcher/api/discovery.ts";
import { eventApiService, eventingNamespace } from "#eventing/names.ts";
import { kubeServices } from "#knative/kube-services.ts";
import { aggregateTo, clusterRole, ensureClusterRoles } from "#knative/roles.ts";
import { eventingGroup } from "./cluster-objects.ts";

const rbac = "rbac.authorization.k8s.io";
const namespace = eventingNamespace;
const read = ["get", "list", "watch"];

/** Makes what is missing. The namespace must be there. `ca` signs the certificate that the process shows, PEM. */
export async function ensureDispatcherObjects(client: Client, ca: string, signal: AbortSignal): Promise<void> {
  await ensureClusterRoles(client, [ownRole(), ...rolesOfUsers()], signal);
  const subjects = [{ apiGroup: rbac, kind: "Group", name: eventingGroup }];
  const roleRef = (kind: string) => ({ apiGroup: rbac, kind, name: eventingGroup });
  const rules = [
    { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: [...read, "create", "patch"] },
    { apiGroups: [""], resources: ["configmaps"], verbs: read },
  ];
  const service = { resource: kubeServices, namespace };
  const ports = [{ name: "https", port: 443, protocol: "TCP" }];
  await Promise.all([
    ensure(
      client,
      rbacRef("clusterrolebindings"),
      rbacObject("ClusterRoleBinding", { roleRef: roleRef("ClusterRole"), subjects }),
      signal,
    ),
    ensure(client, { ...rbacRef("roles"), namespace }, rbacObject("Role", { rules }), signal),
    ensure(
      client,
      { ...rbacRef("rolebindings"), namespace },
      rbacObject("RoleBinding", { roleRef: roleRef("Role"), subjects }),
      signal,
    ),
    ensure(
      client,
      service,
      { apiVersion: "v1", kind: "Service", metadata: { name: eventApiService }, spec: { ports } } as KubeObject,
      signal,
    ),
    ensure(
      client,
      { resource: { group: "apiregistration.k8s.io", version: "v1", resource: "apiservices" } },
      apiService(ca),
      signal,
    ),
  ]);
}

function ownRole(): KubeObject {
  const rules = [
    { apiGroups: ["eventing.knative.dev"], resources: ["brokers", "triggers", "eventpolicies"], verbs: read },
    { apiGroups: ["eventing.knative.dev"], resources: ["eventtypes"], verbs: ["create"] },
    { apiGroups: ["authentication.k8s.io"], resources: ["tokenreviews"], verbs: ["create"] },
    { apiGroups: ["messaging.knative.dev"], resources: ["inmemorychannels", "subscriptions"], verbs: read },
    { apiGroups: ["sources.knative.dev"], resources: ["pingsources", "apiserversources"], verbs: read },
    { apiGroups: ["nodeless.dev"], resources: ["objectsources", "gitsources", "repositories"], verbs: read },
    { apiGroups: ["nodeless.dev"], resources: ["objectsources/status"], verbs: ["patch"] },
    // Keys of buckets, by the names that sources say.
    { apiGroups: [""], resources: ["secrets"], verbs: ["get"] },
    // With which it sends, where that is asked for.
    { apiGroups: [""], resources: ["serviceaccounts/token"], verbs: ["create"] },
    // A source sees what its service account sees, and no more.
    { apiGroups: [""], resources: ["serviceaccounts"], verbs: ["impersonate"] },
  ];
  return clusterRole(eventingGroup, { labels: {}, rules });
}

/** Who may edit a namespace may send events to its Brokers and deliver them again; who may view it sees them. */
function rolesOfUsers(): readonly KubeObject[] {
  const topics = ["brokers", "inmemorychannels"];
  const seen = topics.flatMap((topic) => [`${topic}/events`, `${topic}/dead`]);
  const view = { resources: [...seen, "triggers/delivery", "subscriptions/delivery"], verbs: ["get"] };
  const sent = topics.map((topic) => `${topic}/events`);
  const edit = { resources: [...sent, "triggers/replay", "subscriptions/replay"], verbs: ["create"] };
  const apiGroups = [eventApiGroup];
  return [
    clusterRole("nodeless-events-view", {
      labels: aggregateTo("view"),
      rules: [
        { apiGroups, ...view },
        { apiGroups, resources: ["deliveries"], verbs: ["list"] },
      ],
    }),
    clusterRole("nodeless-events-edit", { labels: aggregateTo("edit"), rules: [{ apiGroups, ...edit }] }),
  ];
}

function apiService(ca: string): KubeObject {
  return {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name: `${eventApiVersion}.${eventApiGroup}` },
    spec: {
      group: eventApiGroup,
      version: eventApiVersion,
      groupPriorityMinimum: 1000,
      versionPriority: 10,
      service: { namespace, name: eventApiService, port: 443 },
      caBundle: Buffer.from(ca).toString("base64"),
    },
  } as KubeObject;
}

function rbacRef(resource: string): ResourceRef {
  return { resource: { group: rbac, version: "v1", resource } };
}

function rbacObject(kind: string, content: object): KubeObject {
  return { apiVersion: `${rbac}/v1`, kind, metadata: { name: eventingGroup }, ...content };
}

async function ensure(client: Client, ref: ResourceRef, object: KubeObject, signal: AbortSignal): Promise<void> {
  await client.create(ref, object, { signal }).catch((error: unknown) => {
    if (!hasReason(error, "AlreadyExists")) throw error;
  });
}
