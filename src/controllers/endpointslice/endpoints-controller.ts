/**
 * Keeps the older Endpoints objects of Services true to the pods that they select, for clients that read those still.
 */
import type { EndpointAddress, EndpointSubset, Endpoints, Pod, Service } from "#api/generated/types/core-v1.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { ensureDeleted } from "#client/find-object.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { isNamespaceTerminating, isPodReady } from "#controllers/common/pods.ts";
import { endpoints } from "#controllers/common/resources.ts";
import { addressesOf, hasEndpoints, headlessLabel, hostnameIn, isHeadless, isListed, portsOn } from "./service-pods.ts";
import type { ResolvedPort } from "./service-pods.ts";
import { watchServices } from "./service-watch.ts";

/** Addresses beyond this are cut off, and an annotation says so. */
const maxAddresses = 1000;
const overCapacityAnnotation = "endpoints.kubernetes.io/over-capacity";
const managedByLabel = "endpoints.kubernetes.io/managed-by";
const controllerName = "endpoint-controller";

/** The controller of Endpoints. Keys are Services. */
export function createEndpointsController(context: ControllerContext): NamedController {
  const controller: KeyedController = new KeyedController(context, { name: "endpoints-controller", reconcile });
  const sources = watchServices(controller, context);
  const all = controller.watch(context.informers.informer<Endpoints>({ resource: endpoints }), {
    onDelete: (object) => controller.queue.add(keyOf(object)),
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    const service = sources.services.lister.find(namespace, name);
    const current = all.lister.find(namespace, name);
    if (service === undefined) return await removeOrphan(current, signal);
    if (!hasEndpoints(service)) return;
    const next = endpointsFor(service, sources.podsOf(service), current);
    if (current !== undefined && isSame(current, next)) return;
    try {
      if (current === undefined) await context.client.create({ resource: endpoints, namespace }, next, { signal });
      else await context.client.update({ resource: endpoints, namespace, name }, next, { signal });
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error;
    }
  }

  /** Endpoints have no owner: those that we made go with their Service. */
  async function removeOrphan(current: Endpoints | undefined, signal: AbortSignal): Promise<void> {
    if (current?.metadata?.labels?.[managedByLabel] !== controllerName) return;
    const { namespace = "", name = "" } = current.metadata;
    await ensureDeleted(context.client, { resource: endpoints, namespace, name }, { signal });
  }
  return controller;
}

function endpointsFor(service: Service, pods: readonly Pod[], current: Endpoints | undefined): Endpoints {
  const { name = "", namespace = "", labels = {} } = service.metadata ?? {};
  const { [overCapacityAnnotation]: _, ...annotations } = current?.metadata?.annotations ?? {};
  const { subsets, isCut } = cut(subsetsOf(service, pods));
  const { [headlessLabel]: _headless, ...own } = labels;
  return {
    apiVersion: "v1",
    kind: "Endpoints",
    ...current,
    metadata: {
      ...current?.metadata,
      name,
      namespace,
      labels: { ...own, ...(isHeadless(service) ? { [headlessLabel]: "" } : {}), [managedByLabel]: controllerName },
      annotations: isCut ? { ...annotations, [overCapacityAnnotation]: "truncated" } : annotations,
    },
    ...(subsets.length === 0 ? { subsets: [] } : { subsets }),
  };
}

/** Pods with the same ports share a subset. */
function subsetsOf(service: Service, pods: readonly Pod[]): readonly EndpointSubset[] {
  const publishAll = service.spec?.publishNotReadyAddresses ?? false;
  const groups = new Map<
    string,
    { readonly ports: readonly ResolvedPort[]; readonly ready: EndpointAddress[]; readonly notReady: EndpointAddress[] }
  >();
  for (const pod of [...pods].sort(byAddress)) {
    if (!isListed(pod, publishAll)) continue;
    const ports = portsOn(pod, service);
    if (ports.length === 0 && (service.spec?.ports?.length ?? 0) > 0) continue;
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports, ready: [], notReady: [] };
    groups.set(key, group);
    (publishAll || isPodReady(pod) ? group.ready : group.notReady).push(addressOf(pod, service));
  }
  return [...groups.values()].map(({ ports, ready, notReady }) => ({
    ...(ready.length === 0 ? {} : { addresses: ready }),
    ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady }),
    ...(ports.length === 0
      ? {}
      : { ports: ports.map(({ name, ...rest }) => (name === "" ? rest : { name, ...rest })) }),
  }));
}

function addressOf(pod: Pod, service: Service): EndpointAddress {
  const { namespace = "", name = "", uid = "" } = pod.metadata ?? {};
  const hostname = hostnameIn(pod, service);
  return {
    ip: addressesOf(pod)[0]!,
    ...(hostname === undefined ? {} : { hostname }),
    ...(pod.spec?.nodeName ? { nodeName: pod.spec.nodeName } : {}),
    targetRef: { kind: "Pod", namespace, name, uid },
  };
}

function byAddress(a: Pod, b: Pod): number {
  return (addressesOf(a)[0] ?? "") < (addressesOf(b)[0] ?? "") ? -1 : 1;
}

/** Ready addresses first. */
function cut(subsets: readonly EndpointSubset[]): {
  readonly subsets: readonly EndpointSubset[];
  readonly isCut: boolean;
} {
  let room = maxAddresses;
  let isCut = false;
  const take = <T>(all: readonly T[] | undefined): readonly T[] => {
    const taken = (all ?? []).slice(0, room);
    isCut ||= taken.length < (all ?? []).length;
    room -= taken.length;
    return taken;
  };
  const ready = subsets.map((subset) => take(subset.addresses));
  const notReady = subsets.map((subset) => take(subset.notReadyAddresses));
  if (!isCut) return { subsets, isCut };
  const shortened = subsets.map((subset, i) => ({ ...subset, addresses: ready[i]!, notReadyAddresses: notReady[i]! }));
  return { subsets: shortened, isCut };
}

function isSame(current: Endpoints, next: Endpoints): boolean {
  return (
    semanticEqual(current.subsets, next.subsets) &&
    semanticEqual(current.metadata?.labels, next.metadata?.labels) &&
    semanticEqual(current.metadata?.annotations, next.metadata?.annotations)
  );
}
