/**
 * Mirrors Endpoints that people or programs write by hand, for Services without a selector, into EndpointSlices: these are what proxies and DNS read.
 */
import { isIPv6 } from "node:net";
import type { EndpointAddress, EndpointSubset, Endpoints, Service } from "#api/generated/types/core-v1.ts";
import type { Endpoint, EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { ensureDeleted } from "#client/find-object.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { templateHash } from "#controllers/common/hash.ts";
import { controllerReference } from "#apimachinery/owner-references.ts";
import { isNamespaceTerminating } from "#controllers/common/pods.ts";
import { endpointSlices, endpoints, services } from "#controllers/common/resources.ts";

const managedByLabel = "endpointslice.kubernetes.io/managed-by";
const serviceNameLabel = "kubernetes.io/service-name";
const skipMirrorLabel = "endpointslice.kubernetes.io/skip-mirror";
const leaderAnnotation = "control-plane.alpha.kubernetes.io/leader";
const controllerName = "endpointslicemirroring-controller.k8s.io";
/** Addresses of one subset beyond this are not mirrored. */
const maxAddresses = 1000;
const byOwner = "mirrored";

/** The controller. Keys are Endpoints. */
export function createEndpointSliceMirroringController(context: ControllerContext): NamedController {
  const controller: KeyedController = new KeyedController(context, {
    name: "endpointslice-mirroring-controller",
    reconcile,
  });
  const enqueue = (object: Endpoints | Service) => controller.queue.add(keyOf(object));
  const sources = controller.watch(context.informers.informer<Endpoints>({ resource: endpoints }), {
    onAdd: enqueue,
    onUpdate: (_before, object) => enqueue(object),
    onDelete: enqueue,
  });
  const owners = controller.watch(context.informers.informer<Service>({ resource: services }), {
    onAdd: enqueue,
    onUpdate: (before, service) => {
      if (!semanticEqual(before.spec?.selector, service.spec?.selector)) enqueue(service);
    },
    onDelete: enqueue,
  });
  const serviceKey = (slice: EndpointSlice) =>
    `${slice.metadata?.namespace}/${slice.metadata?.labels?.[serviceNameLabel] ?? ""}`;
  const isOurs = (slice: EndpointSlice) => slice.metadata?.labels?.[managedByLabel] === controllerName;
  const mirrors = controller.watch(
    context.informers.informer<EndpointSlice>({
      resource: endpointSlices,
      indexes: { [byOwner]: (slice) => (isOurs(slice) ? [serviceKey(slice)] : []) },
    }),
    {
      onUpdate: (_before, slice) => isOurs(slice) && controller.queue.add(serviceKey(slice)),
      onDelete: (slice) => isOurs(slice) && controller.queue.add(serviceKey(slice)),
    },
  );

  async function reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    const source = sources.lister.find(namespace, name);
    const service = owners.lister.find(namespace, name);
    const wanted =
      source !== undefined && service !== undefined && isMirrored(source, service) ? slicesFor(source) : [];
    const current = mirrors.lister.byIndex(byOwner, key);
    const ref = { resource: endpointSlices, namespace };
    for (const slice of wanted) {
      const existing = current.find((one) => one.metadata?.name === slice.metadata?.name);
      if (existing !== undefined && isSame(existing, slice)) continue;
      try {
        if (existing === undefined) await context.client.create(ref, slice, { signal });
        else {
          const metadata = { ...existing.metadata, labels: slice.metadata?.labels ?? {} };
          const next = { ...slice, metadata };
          await context.client.update({ ...ref, name: existing.metadata?.name ?? "" }, next, { signal });
        }
      } catch (error) {
        if (!isNamespaceTerminating(error) && !hasReason(error, "AlreadyExists")) throw error;
      }
    }
    const names = new Set(wanted.map((slice) => slice.metadata?.name));
    for (const { metadata } of current) {
      if (names.has(metadata?.name)) continue;
      await ensureDeleted(context.client, { ...ref, name: metadata?.name ?? "" }, { signal });
    }
  }
  return controller;
}

function isMirrored(source: Endpoints, service: Service): boolean {
  const { labels, annotations } = source.metadata ?? {};
  if (labels?.[skipMirrorLabel] === "true" || annotations?.[leaderAnnotation] !== undefined) return false;
  const hasSelector = service.spec?.selector !== undefined && Object.keys(service.spec.selector).length > 0;
  return !hasSelector && service.spec?.type !== "ExternalName" && source.metadata?.deletionTimestamp === undefined;
}

/** One slice for each subset and address family; named by what tells it apart, so that a change updates it in place. */
function slicesFor(source: Endpoints): readonly EndpointSlice[] {
  return (source.subsets ?? []).flatMap((subset) => {
    const all = addressesOf(subset);
    return (["IPv4", "IPv6"] as const).flatMap((family) => {
      const own = all.filter(({ address }) => isIPv6(address.ip) === (family === "IPv6")).slice(0, maxAddresses);
      return own.length === 0 ? [] : [sliceFor(source, subset, family, own.map(endpointOf))];
    });
  });
}

type Listed = { readonly address: EndpointAddress; readonly ready: boolean };

function addressesOf(subset: EndpointSubset): readonly Listed[] {
  return [
    ...(subset.addresses ?? []).map((address) => ({ address, ready: true })),
    ...(subset.notReadyAddresses ?? []).map((address) => ({ address, ready: false })),
  ];
}

function endpointOf({ address, ready }: Listed): Endpoint {
  const { ip, hostname, nodeName, targetRef } = address;
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname === undefined ? {} : { hostname }),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(targetRef === undefined ? {} : { targetRef }),
  };
}

function sliceFor(
  source: Endpoints,
  subset: EndpointSubset,
  family: "IPv4" | "IPv6",
  all: readonly Endpoint[],
): EndpointSlice {
  const { name = "", namespace = "", labels } = source.metadata ?? {};
  const ports = (subset.ports ?? []).map(({ name: portName = "", protocol = "TCP", ...rest }) => ({
    name: portName,
    protocol,
    ...rest,
  }));
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${name.slice(0, 240)}-${templateHash([ports, family])}`,
      namespace,
      labels: { ...labels, [serviceNameLabel]: name, [managedByLabel]: controllerName },
      ownerReferences: [controllerReference({ ...source, apiVersion: "v1", kind: "Endpoints" })],
    },
    addressType: family,
    ports,
    endpoints: all,
  };
}

function isSame(current: EndpointSlice, wanted: EndpointSlice): boolean {
  return (
    semanticEqual(current.endpoints, wanted.endpoints) &&
    semanticEqual(current.ports, wanted.ports) &&
    semanticEqual(current.metadata?.labels, wanted.metadata?.labels)
  );
}
