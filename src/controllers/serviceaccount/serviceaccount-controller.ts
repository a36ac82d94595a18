/**
 * Makes sure that each namespace has the ServiceAccount `default`, which pods use that name none.
 */
import type { ServiceAccount } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { isNamespaceTerminating } from "#controllers/common/pods.ts";
import { namespaceInformer, serviceAccounts } from "#controllers/common/resources.ts";

const accountName = "default";

/** The controller of default ServiceAccounts. Keys are names of namespaces. */
export function createServiceAccountController(context: ControllerContext): NamedController {
  const controller: KeyedController = new KeyedController(context, {
    name: "serviceaccount-controller",
    reconcile: async (namespace, signal) => {
      const isActive = namespaces.lister.find("", namespace)?.status?.phase !== "Terminating";
      const isThere = accounts.lister.find(namespace, accountName) !== undefined;
      if (!isActive || isThere || namespaces.lister.find("", namespace) === undefined) return;
      const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: accountName, namespace } };
      try {
        await context.client.create({ resource: serviceAccounts, namespace }, account, { signal });
      } catch (error) {
        if (!hasReason(error, "AlreadyExists") && !isNamespaceTerminating(error)) throw error;
      }
    },
  });
  const namespaces = controller.watch(namespaceInformer(context), {
    onAdd: (namespace) => controller.queue.add(namespace.metadata?.name ?? ""),
    onUpdate: (_before, namespace) => controller.queue.add(namespace.metadata?.name ?? ""),
  });
  const accounts = controller.watch(context.informers.informer<ServiceAccount>({ resource: serviceAccounts }), {
    onDelete: (account) => controller.queue.add(account.metadata?.namespace ?? ""),
  });
  return controller;
}
