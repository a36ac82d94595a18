/**
 * How a Service's endpoints are spread over EndpointSlices: at most 100 in each, one set of ports and one address family per slice, and as few writes as possible. Algorithm as
 * upstream's endpointslice reconciler. Pure functions.
 */
import { isIPv6 } from "node:net";
import type { Node, Pod, Service } from "#api/generated/types/core-v1.ts";
import type { Endpoint, EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import { controllerReference } from "#apimachinery/owner-references.ts";
import { isPodReady, isPodTerminating } from "#controllers/common/pods.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { addressesOf, headlessLabel, hostnameIn, isHeadless, isListed, portsOn } from "./service-pods.ts";
import type { ResolvedPort } from "./service-pods.ts";

export const maxEndpointsPerSlice = 100;
export const serviceNameLabel = "kubernetes.io/service-name";
export const managedByLabel = "endpointslice.kubernetes.io/managed-by";
export const controllerName = "endpointslice-controller.k8s.io";
const reservedLabels: ReadonlySet<string> = new Set([serviceNameLabel, managedByLabel, headlessLabel]);

export type AddressType = "IPv4" | "IPv6";

/** What to write. Slices to update carry the resourceVersion that was seen. */
export type SlicePlan = {
  readonly create: readonly EndpointSlice[];
  readonly update: readonly EndpointSlice[];
  readonly remove: readonly EndpointSlice[];
};

/** What a plan is made from. `existing` are the slices that this controller manages for the Service. */
export type PlanInput = {
  readonly service: Service;
  readonly pods: readonly Pod[];
  readonly findNode: (name: string) => Node | undefined;
  readonly existing: readonly EndpointSlice[];
};

/** The writes that bring the slices to what the pods are. */
export function planSlices(input: PlanInput): SlicePlan {
  const families = addressTypesOf(input.service);
  const strangers = input.existing.filter((slice) => !families.includes(slice.addressType as AddressType));
  const plans = families.map((family) => planFamily(input, family));
  return {
    create: plans.flatMap((plan) => plan.create),
    update: plans.flatMap((plan) => plan.update),
    remove: [...strangers, ...plans.flatMap((plan) => plan.remove)],
  };
}

function addressTypesOf(service: Service): readonly AddressType[] {
  const families = service.spec?.ipFamilies ?? [];
  if (families.length > 0) return families as readonly AddressType[];
  return [isIPv6(service.spec?.clusterIP ?? "") ? "IPv6" : "IPv4"];
}

type Group = { readonly ports: readonly ResolvedPort[]; readonly endpoints: Map<string, Endpoint> };

function planFamily(input: PlanInput, family: AddressType): SlicePlan {
  const { service } = input;
  const all = input.existing.filter((slice) => slice.addressType === family);
  const isOwn = (slice: EndpointSlice) =>
    slice.metadata?.ownerReferences?.some((owner) => owner.uid === service.metadata?.uid);
  const remove = all.filter((slice) => !isOwn(slice));
  const byPorts = Map.groupBy(all.filter(isOwn), (slice) => portsKey(slice.ports));
  const create: EndpointSlice[] = [];
  const update: EndpointSlice[] = [];
  const groups = groupPods(input, family);
  for (const [key, group] of groups) {
    const plan = planGroup(service, family, group, byPorts.get(key) ?? []);
    create.push(...plan.create);
    update.push(...plan.update);
    remove.push(...plan.remove);
  }
  for (const [key, slices] of byPorts) if (!groups.has(key)) remove.push(...slices);
  // A Service without endpoints has one empty slice, so that readers can tell "none" from "not looked at yet".
  if (remove.length === all.length && create.length === 0) {
    const placeholder = newSlice(service, family, []);
    const [only] = remove;
    if (remove.length === 1 && only !== undefined && isSameEmptySlice(only, placeholder))
      return { create, update, remove: [] };
    create.push(placeholder);
  }
  const plan = reused({ create, remove }, isOwn);
  return { ...plan, update: [...update, ...plan.update] };
}

/** A slice that would go becomes one that would come: one write in place of two. */
function reused(
  { create, remove }: Pick<SlicePlan, "create" | "remove">,
  isOwn: (slice: EndpointSlice) => boolean | undefined,
): SlicePlan {
  const [own, strangers] = [remove.filter(isOwn), remove.filter((slice) => !isOwn(slice))];
  const count = Math.min(own.length, create.length);
  const update = own.slice(0, count).map((old, index): EndpointSlice => {
    const { metadata: { labels = {} } = {}, ...fresh } = create[index]!;
    return { ...old, ...fresh, metadata: { ...old.metadata, labels } };
  });
  return { create: create.slice(count), update, remove: [...strangers, ...own.slice(count)] };
}

function groupPods(input: PlanInput, family: AddressType): ReadonlyMap<string, Group> {
  const groups = new Map<string, Group>();
  for (const pod of input.pods) {
    if (!isListed(pod, true)) continue;
    const node = pod.spec?.nodeName ? input.findNode(pod.spec.nodeName) : undefined;
    // A pod whose node is gone will follow it; traffic must not wait for that.
    if (node === undefined && !input.service.spec?.publishNotReadyAddresses) continue;
    const ports = portsOn(pod, input.service);
    const key = portsKey(ports);
    const group: Group = groups.get(key) ?? { ports, endpoints: new Map() };
    groups.set(key, group);
    const endpoint = endpointOf(pod, node, input.service, family);
    if (endpoint.addresses.length > 0) group.endpoints.set(endpointKey(endpoint), endpoint);
  }
  return groups;
}

/** Keeps what is right where it stands, then fills changed slices, then one unchanged one, then new ones. */
function planGroup(service: Service, family: AddressType, group: Group, existing: readonly EndpointSlice[]): SlicePlan {
  const missing = new Map(group.endpoints);
  const remove: EndpointSlice[] = [];
  const changed: { readonly slice: EndpointSlice; readonly endpoints: Endpoint[] }[] = [];
  const unchanged: EndpointSlice[] = [];
  for (const slice of existing) {
    const kept: Endpoint[] = [];
    let isUpdated = false;
    for (const endpoint of endpointsIn(slice)) {
      const wanted = missing.get(endpointKey(endpoint));
      if (wanted === undefined) continue;
      kept.push(wanted);
      isUpdated ||= !semanticEqual(wanted, endpoint);
      missing.delete(endpointKey(endpoint));
    }
    const areLabelsRight = semanticEqual(labelsFor(service), slice.metadata?.labels);
    if (kept.length === endpointsIn(slice).length && !isUpdated && areLabelsRight) unchanged.push(slice);
    else if (kept.length === 0) remove.push(slice);
    else changed.push({ slice, endpoints: kept });
  }
  const rest = [...missing.values()];
  for (const { endpoints } of changed.sort((a, b) => b.endpoints.length - a.endpoints.length)) {
    endpoints.push(...rest.splice(0, maxEndpointsPerSlice - endpoints.length));
  }
  const fitting = rest.length === 0 ? undefined : fullestWithRoom(unchanged, rest.length);
  if (fitting !== undefined) changed.push({ slice: fitting, endpoints: [...endpointsIn(fitting), ...rest.splice(0)] });
  const create: EndpointSlice[] = [];
  while (rest.length > 0)
    create.push({ ...newSlice(service, family, group.ports), endpoints: rest.splice(0, maxEndpointsPerSlice) });
  const labels = labelsFor(service);
  const update = changed.map(({ slice, endpoints }) => ({
    ...slice,
    metadata: { ...slice.metadata, labels },
    endpoints,
  }));
  return { create, update, remove };
}

function fullestWithRoom(slices: readonly EndpointSlice[], count: number): EndpointSlice | undefined {
  const fitting = slices.filter(
    (slice) => endpointsIn(slice).length > 0 && endpointsIn(slice).length + count <= maxEndpointsPerSlice,
  );
  return fitting.sort((a, b) => endpointsIn(b).length - endpointsIn(a).length)[0];
}

function endpointOf(pod: Pod, node: Node | undefined, service: Service, family: AddressType): Endpoint {
  const serving = isPodReady(pod);
  const terminating = isPodTerminating(pod);
  const ready = (service.spec?.publishNotReadyAddresses ?? false) || (serving && !terminating);
  const zone = node?.metadata?.labels?.["topology.kubernetes.io/zone"];
  const hostname = hostnameIn(pod, service);
  const { namespace = "", name = "", uid = "" } = pod.metadata ?? {};
  return {
    addresses: addressesOf(pod).filter((address) => isIPv6(address) === (family === "IPv6")),
    conditions: { ready, serving, terminating },
    targetRef: { kind: "Pod", namespace, name, uid },
    ...(pod.spec?.nodeName ? { nodeName: pod.spec.nodeName } : {}),
    ...(zone ? { zone } : {}),
    ...(hostname === undefined ? {} : { hostname }),
  };
}

function newSlice(service: Service, family: AddressType, ports: readonly ResolvedPort[]): EndpointSlice {
  const { name = "", namespace = "" } = service.metadata ?? {};
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      generateName: `${name}-`,
      namespace,
      labels: labelsFor(service),
      ownerReferences: [controllerReference({ ...service, apiVersion: "v1", kind: "Service" })],
    },
    addressType: family,
    ports,
    endpoints: [],
  };
}

/** The Service's labels, and those that say whose slice it is. */
function labelsFor(service: Service): Readonly<Record<string, string>> {
  const own = Object.entries(service.metadata?.labels ?? {}).filter(([key]) => !reservedLabels.has(key));
  return {
    ...Object.fromEntries(own),
    ...(isHeadless(service) ? { [headlessLabel]: "" } : {}),
    [serviceNameLabel]: service.metadata?.name ?? "",
    [managedByLabel]: controllerName,
  };
}

function isSameEmptySlice(slice: EndpointSlice, placeholder: EndpointSlice): boolean {
  return (
    endpointsIn(slice).length === 0 &&
    (slice.ports ?? []).length === 0 &&
    semanticEqual(slice.metadata?.labels, placeholder.metadata?.labels)
  );
}

function endpointsIn(slice: EndpointSlice): readonly Endpoint[] {
  return slice.endpoints ?? [];
}

function portsKey(ports: EndpointSlice["ports"]): string {
  const texts = (ports ?? []).map(({ name, port, protocol, appProtocol }) =>
    JSON.stringify([name ?? "", port, protocol ?? "TCP", appProtocol ?? ""]),
  );
  return texts.sort().join();
}

function endpointKey(endpoint: Endpoint): string {
  return JSON.stringify([[...endpoint.addresses].sort(), endpoint.hostname ?? "", endpoint.targetRef?.uid ?? ""]);
}
