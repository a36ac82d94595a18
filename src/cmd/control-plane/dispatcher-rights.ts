/**
 * What the process that delivers events may do: read what it makes its topology of, and say where it listens.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { eventingNamespace } from "#eventing/names.ts";
import { eventingGroup } from "./cluster-objects.ts";

const group = "rbac.authorization.k8s.io";
const name = eventingGroup;
const read = ["get", "list", "watch"];
const subjects = [{ apiGroup: group, kind: "Group", name: eventingGroup }];

/** Makes what is missing. The namespace must be there. */
export async function ensureDispatcherRights(client: Client, signal: AbortSignal): Promise<void> {
  const cluster = [
    { apiGroups: ["eventing.knative.dev"], resources: ["brokers", "triggers", "eventpolicies"], verbs: read },
    { apiGroups: ["messaging.knative.dev"], resources: ["inmemorychannels", "subscriptions"], verbs: read },
  ];
  const inNamespace = [
    { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: [...read, "create", "patch"] },
  ];
  const namespace = eventingNamespace;
  await ensure(client, { kind: "ClusterRole", rules: cluster }, signal);
  await ensure(
    client,
    { kind: "ClusterRoleBinding", roleRef: { apiGroup: group, kind: "ClusterRole", name }, subjects },
    signal,
  );
  await ensure(client, { kind: "Role", namespace, rules: inNamespace }, signal);
  await ensure(
    client,
    { kind: "RoleBinding", namespace, roleRef: { apiGroup: group, kind: "Role", name }, subjects },
    signal,
  );
}

type Right = { readonly kind: string; readonly namespace?: string } & Readonly<Record<string, unknown>>;

async function ensure(client: Client, { kind, namespace, ...rest }: Right, signal: AbortSignal): Promise<void> {
  const resource = { group, version: "v1", resource: `${kind.toLowerCase()}s` };
  const ref: ResourceRef = { resource, ...(namespace !== undefined && { namespace }) };
  const object = { apiVersion: `${group}/v1`, kind, metadata: { name }, ...rest } as KubeObject;
  await client.create(ref, object, { signal }).catch((error: unknown) => {
    if (!hasReason(error, "AlreadyExists")) throw error;
  });
}
