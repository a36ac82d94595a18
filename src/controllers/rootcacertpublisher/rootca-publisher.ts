/**
 * Puts the API server's CA certificate into each namespace as ConfigMap `kube-root-ca.crt`, so that every pod can trust the API server.
 */
import type { ConfigMap, Namespace } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { isNamespaceTerminating } from "#controllers/common/pods.ts";
import { configMaps, namespaceInformer } from "#controllers/common/resources.ts";

const configMapName = "kube-root-ca.crt";
const description =
  "CA bundle that the API server's certificate is verified with at its internal addresses, such as kubernetes.default.svc. Promises nothing else.";

/** The publisher. `rootCa` is PEM. Keys are names of namespaces. */
export function createRootCaPublisher(context: ControllerContext, rootCa: string): NamedController {
  const controller: KeyedController = new KeyedController(context, {
    name: "root-ca-certificate-publisher-controller",
    reconcile: (namespace, signal) => publish(namespace, signal),
  });
  const namespaces = controller.watch(namespaceInformer(context), {
    onAdd: (namespace) => controller.queue.add(namespace.metadata?.name ?? ""),
    onUpdate: (_before: Namespace, namespace) => controller.queue.add(namespace.metadata?.name ?? ""),
  });
  const published = controller.watch(
    context.informers.informer<ConfigMap>({ resource: configMaps, fieldSelector: `metadata.name=${configMapName}` }),
    {
      onUpdate: (_before, configMap) => controller.queue.add(configMap.metadata?.namespace ?? ""),
      onDelete: (configMap) => controller.queue.add(configMap.metadata?.namespace ?? ""),
    },
  );

  async function publish(namespace: string, signal: AbortSignal): Promise<void> {
    const found = namespaces.lister.find("", namespace);
    if (found === undefined || found.status?.phase === "Terminating") return;
    const current = published.lister.find(namespace, configMapName);
    const annotations = { "kubernetes.io/description": description };
    const wanted = { metadata: { name: configMapName, namespace, annotations }, data: { "ca.crt": rootCa } };
    const isRight = current?.data?.["ca.crt"] === rootCa && Object.keys(current.data).length === 1;
    if (isRight && current.metadata?.annotations?.["kubernetes.io/description"] !== undefined) return;
    const ref = { resource: configMaps, namespace };
    try {
      if (current === undefined)
        await context.client.create(ref, { apiVersion: "v1", kind: "ConfigMap", ...wanted }, { signal });
      else
        await context.client.update(
          { ...ref, name: configMapName },
          {
            ...current,
            ...wanted,
            metadata: { ...current.metadata, annotations: { ...current.metadata?.annotations, ...annotations } },
          },
          { signal },
        );
    } catch (error) {
      if (!hasReason(error, "AlreadyExists") && !hasReason(error, "NotFound") && !isNamespaceTerminating(error))
        throw error;
    }
  }
  return controller;
}
