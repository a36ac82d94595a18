/**
 * The right of nodes to read the Secrets of certificates, and no other: a Role per namespace that names those that its Ingresses of our classes name, bound to the nodes' group. It goes with the last of them.
 */
import type { Ingress, IngressClass } from "#api/generated/types/networking-v1.ts";
import type { Role } from "#api/generated/types/rbac-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { ResourceRef } from "#client/client.ts";
import { type ControllerContext, KeyedController, type NamedController } from "#client/controller.ts";
import type { Informer } from "#client/informer.ts";
import { splitKey } from "#client/object-store.ts";
import { isOurs, secretsOf } from "./ingress-class.ts";

const group = "rbac.authorization.k8s.io";
const roleResource = { group, version: "v1", resource: "roles" };
const bindingResource = { group, version: "v1", resource: "rolebindings" };
const ingressResource = { group: "networking.k8s.io", version: "v1", resource: "ingresses" };
const classResource = { group: "networking.k8s.io", version: "v1", resource: "ingressclasses" };
const name = "nodeless:ingress-secrets";
const label = "nodeless.dev/ingress-secrets";

export type IngressSecretRolesOptions = ControllerContext & {
  /** The group of those who may read. */
  readonly readers: string;
};

/** The controller; its keys are namespaces. */
export function createIngressSecretRoles(options: IngressSecretRolesOptions): NamedController {
  const { informers } = options;
  const controller = new KeyedController(options, {
    name: "nodeless-ingress-secrets",
    reconcile: (namespace, signal) => reconcile(options, { ingresses, classes, roles }, { namespace, signal }),
  });
  const add = (object: { readonly metadata?: { readonly namespace?: string } }) =>
    controller.queue.add(object.metadata?.namespace ?? "");
  const ingresses = controller.watch(informers.informer<Ingress>({ resource: ingressResource }), {
    onAdd: add,
    onUpdate: (_before, after) => add(after),
    onDelete: add,
  });
  const addAll = () => ingresses.lister.list().forEach(add);
  const classes = controller.watch(informers.informer<IngressClass>({ resource: classResource }), {
    onAdd: addAll,
    onUpdate: addAll,
    onDelete: addAll,
  });
  // Those that somebody changed are put right, and those that nobody needs since a time when we were away go.
  const roles = controller.watch(informers.informer<Role>({ resource: roleResource, labelSelector: label }), {
    onAdd: add,
    onUpdate: (_before, after) => add(after),
    onDelete: add,
  });
  return controller;
}

type Known = {
  readonly ingresses: Informer<Ingress>;
  readonly classes: Informer<IngressClass>;
  readonly roles: Informer<Role>;
};

async function reconcile(
  options: IngressSecretRolesOptions,
  { ingresses, classes, roles }: Known,
  { namespace, signal }: { readonly namespace: string; readonly signal: AbortSignal },
): Promise<void> {
  const ours = ingresses.lister
    .list(namespace)
    .filter((ingress) => isOurs(ingress, (className) => classes.lister.find("", className)));
  const names = [...new Set(ours.flatMap(secretsOf))].map((key) => splitKey(key).name).sort();
  const role = roles.lister.find(namespace, name);
  if (names.length === 0) {
    if (role !== undefined) await remove(options, namespace, signal);
    return;
  }
  const rules = [{ apiGroups: [""], resources: ["secrets"], resourceNames: names, verbs: ["get", "list", "watch"] }];
  if (JSON.stringify(role?.rules) === JSON.stringify(rules)) return;
  const head = { apiVersion: `${group}/v1`, metadata: { name, labels: { [label]: "" } } };
  const subjects = [{ apiGroup: group, kind: "Group", name: options.readers }];
  const roleRef = { apiGroup: group, kind: "Role", name };
  const binding = { ...head, kind: "RoleBinding", roleRef, subjects } as KubeObject;
  await put(options, { resource: roleResource, namespace }, { ...head, kind: "Role", rules } as KubeObject, signal);
  await put(options, { resource: bindingResource, namespace }, binding, signal);
}

async function put(
  { client }: ControllerContext,
  ref: ResourceRef,
  object: KubeObject,
  signal: AbortSignal,
): Promise<void> {
  try {
    await client.create(ref, object, { signal });
  } catch (error) {
    if (!hasReason(error, "AlreadyExists")) throw error;
    await client.patch({ ...ref, name }, { type: "merge", body: object }, { signal });
  }
}

async function remove({ client }: ControllerContext, namespace: string, signal: AbortSignal): Promise<void> {
  for (const resource of [bindingResource, roleResource]) {
    try {
      await client.delete({ resource, namespace, name }, { signal });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
  }
}
