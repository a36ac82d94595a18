/**
 * What wakes the two controllers of endpoints: Services, and pods that a Service selects or selected.
 */
import type { Node, Pod, Service } from "#api/generated/types/core-v1.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf } from "#client/object-store.ts";
import type { ControllerContext, KeyedController } from "#client/controller.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { isPodReady, isPodTerminating } from "#controllers/common/pods.ts";
import { nodeInformer, podInformer, services } from "#controllers/common/resources.ts";
import { endpointChanged, selects } from "./service-pods.ts";

/** Changes of a large Service's pods wait for each other: a millisecond for every 20 pods. Small ones are served at once. */
const podsPerMs = 20;
const maxBatchMs = 500;

/** How long the two wait with what moves no traffic: a pod that comes is ready a moment later, one that goes is gone a moment later. */
const lullMs = 100;

/** The copies that both controllers read. */
export type ServiceSources = {
  readonly services: Informer<Service>;
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  /** The pods that the Service selects. */
  readonly podsOf: (service: Service) => readonly Pod[];
};

/** Connects a controller whose keys are Services. */
export function watchServices(controller: KeyedController, context: ControllerContext): ServiceSources {
  const sizes = new Map<string, number>();
  const all = controller.watch(serviceInformer(context), {
    onAdd: (service) => controller.queue.add(keyOf(service)),
    onUpdate: (_before, service) => controller.queue.add(keyOf(service)),
    onDelete: (service) => {
      sizes.delete(keyOf(service));
      controller.queue.add(keyOf(service));
    },
  });
  const enqueueFor = (pod: Pod, before: Pod = pod) => {
    const isUrgent = isUsable(pod) || isUsable(before);
    for (const service of maySelect(all, pod)) {
      if (!selects(service, pod.metadata?.labels)) continue;
      const key = keyOf(service);
      const batchMs = Math.min(maxBatchMs, Math.floor((sizes.get(key) ?? 0) / podsPerMs));
      const mayWait = !isUrgent && service.spec?.publishNotReadyAddresses !== true;
      controller.queue.addAfter(key, mayWait ? Math.max(lullMs, batchMs) : batchMs);
    }
  };
  const pods = controller.watch(podInformer(context), {
    onAdd: (pod) => enqueueFor(pod),
    onUpdate: (before, pod) => {
      if (!endpointChanged(before, pod)) return;
      enqueueFor(pod, before);
      if (!semanticEqual(before.metadata?.labels, pod.metadata?.labels)) enqueueFor(before);
    },
    onDelete: (pod) => enqueueFor(pod),
  });
  const podsOf = (service: Service) => {
    const inNamespace = pods.lister.list(service.metadata?.namespace ?? "");
    const selected = inNamespace.filter((pod) => selects(service, pod.metadata?.labels));
    sizes.set(keyOf(service), selected.length);
    return selected;
  };
  return { services: all, pods, nodes: controller.watch(nodeInformer(context)), podsOf };
}

/** New connections may go there. */
function isUsable(pod: Pod): boolean {
  return isPodReady(pod) && !isPodTerminating(pod);
}

/** Index of Services by one of the labels that they select: "namespace/key=value". */
const byOneLabel = "one-label-of-selector";

function serviceInformer({ informers }: ControllerContext): Informer<Service> {
  return informers.informer<Service>({
    resource: services,
    indexes: {
      [byOneLabel]: ({ metadata, spec }) => {
        const [first] = Object.entries(spec?.selector ?? {});
        return first === undefined ? [] : [labelKey(metadata?.namespace, first)];
      },
    },
  });
}

/** The Services of which the index does not tell already that they do not select the pod. */
function maySelect({ lister }: Informer<Service>, { metadata }: Pod): readonly Service[] {
  const labels = Object.entries(metadata?.labels ?? {});
  return labels.flatMap((label) => lister.byIndex(byOneLabel, labelKey(metadata?.namespace, label)));
}

function labelKey(namespace: string | undefined, [key, value]: readonly [string, string]): string {
  return `${namespace}/${key}=${value}`;
}
