/**
 * The right of nodes to read the Secrets of certificates, and no other: a Role per namespace that names those that its Ingresses of our classes name, bound to the nodes' group. It goes with the last of them.
 */
import type { Ingress, IngressClass } from "#api/generated/types/networking-v1.ts";
import type { Role } from "#api/generated/types/rbac-v1.ts";
import { type ControllerContext, KeyedController, type NamedController } from "#client/controller.ts";
import type { Informer } from "#client/informer.ts";
import { splitKey } from "#client/object-store.ts";
import { keepSecretReaders, roleResource } from "#client/secret-readers.ts";
import { isOurs, secretsOf } from "./ingress-class.ts";

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
  { client, readers }: IngressSecretRolesOptions,
  { ingresses, classes, roles }: Known,
  { namespace, signal }: { readonly namespace: string; readonly signal: AbortSignal },
): Promise<void> {
  const ours = ingresses.lister
    .list(namespace)
    .filter((ingress) => isOurs(ingress, (className) => classes.lister.find("", className)));
  const names = ours.flatMap(secretsOf).map((key) => splitKey(key).name);
  const role = roles.lister.find(namespace, name);
  await keepSecretReaders({ client, name, label, readers }, { namespace, names, role, signal });
}
