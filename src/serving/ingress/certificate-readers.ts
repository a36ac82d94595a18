/**
 * The data planes' right to read the Secrets with the certificates of routes, and no others: a Role in each namespace that has any. It goes with the last of them.
 */
import type { Role } from "#api/generated/types/rbac-v1.ts";
import { KeyedController, type NamedController } from "#client/controller.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { keepSecretReaders, roleResource } from "#client/secret-readers.ts";
import type { ServingContext } from "#serving/common/context.ts";
import { type Ingress, ingresses } from "#serving/kinds.ts";

const name = "nodeless:serving-certificates";
const label = "nodeless.dev/serving-certificates";

/** Index of Ingresses by namespaces of their Secrets. */
const byNamespace = "serving-secret-namespace";

/** The controller; its keys are namespaces of Secrets. `readers` is the data planes' group. */
export function createCertificateReaders(context: ServingContext, readers: string): NamedController {
  const { client, informers } = context;
  const controller = new KeyedController(context, {
    name: "serving-certificates",
    reconcile: (namespace, signal) => {
      const users = all.lister.byIndex(byNamespace, namespace).flatMap(({ spec }) => spec?.tls ?? []);
      const names = users.filter((one) => one.secretNamespace === namespace).map(({ secretName }) => secretName);
      const role = roles.lister.find(namespace, name);
      return keepSecretReaders({ client, name, label, readers }, { namespace, names, role, signal });
    },
  });
  const add = (ingress: Ingress) => secretNamespaces(ingress).forEach((namespace) => controller.queue.add(namespace));
  const all = controller.watch(
    informers.informer<Ingress>({ resource: ingresses, indexes: { [byNamespace]: secretNamespaces } }),
    {
      onAdd: add,
      onUpdate: (before, after) => {
        add(before);
        add(after);
      },
      onDelete: add,
    },
  );
  const addOwn = ({ metadata }: KubeObject) => controller.queue.add(metadata?.namespace ?? "");
  const roles = controller.watch(informers.informer<Role>({ resource: roleResource, labelSelector: label }), {
    onAdd: addOwn,
    onUpdate: (_before, role) => addOwn(role),
    onDelete: addOwn,
  });
  return controller;
}

function secretNamespaces({ spec }: Ingress): string[] {
  return [...new Set((spec?.tls ?? []).map(({ secretNamespace }) => secretNamespace))];
}
