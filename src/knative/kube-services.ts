/**
 * Keeps Services, and the slices of those that lead to the data plane, as they are to be. Fields that the API server fills in are left alone.
 */
import type { Service } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { isControlledBy } from "#apimachinery/owner-references.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import { refOf } from "./objects.ts";

export const kubeServices: GroupVersionResource = { group: "", version: "v1", resource: "services" };
export const endpointSlices: GroupVersionResource = {
  group: "discovery.k8s.io",
  version: "v1",
  resource: "endpointslices",
};

/** A Service of that name belongs to somebody else. */
export class ServiceNotOwned extends Error {
  readonly kind = "ServiceNotOwned";
  readonly service: string;

  constructor(service: string) {
    super(`There is an existing Service ${JSON.stringify(service)} that we do not own.`);
    this.service = service;
  }
}

/** Where Services are looked up and written. */
export type KubeServices = {
  readonly client: Client;
  readonly services: Informer<Service>;
  readonly slices: Informer<EndpointSlice>;
};

/** Creates the Service, or brings labels, ports and selector up to date. Throws {@link ServiceNotOwned}. */
export async function ensureService(
  { client, services }: KubeServices,
  options: { readonly owner: KubeObject; readonly wanted: Service; readonly signal: AbortSignal },
): Promise<Service> {
  const { owner, wanted, signal } = options;
  const { namespace = "", name = "" } = wanted.metadata ?? {};
  const found = services.lister.find(namespace, name);
  if (found === undefined)
    return await client.create<Service>({ resource: kubeServices, namespace }, wanted, { signal });
  if (!isControlledBy(found, owner)) throw new ServiceNotOwned(name);
  const body = serviceChange(found, wanted);
  return body === undefined
    ? found
    : await client.patch<Service>(refOf(kubeServices, found), { type: "merge", body }, { signal });
}

function serviceChange(found: Service, wanted: Service): object | undefined {
  const ports = (service: Service) =>
    (service.spec?.ports ?? []).map(({ name, port, targetPort, appProtocol }) => ({
      name,
      port,
      targetPort,
      appProtocol,
    }));
  const isSame =
    semanticEqual(ports(found), ports(wanted)) &&
    semanticEqual(found.spec?.selector, wanted.spec?.selector) &&
    includes(found.metadata?.labels, wanted.metadata?.labels) &&
    (wanted.metadata?.annotations === undefined ||
      semanticEqual(found.metadata?.annotations, wanted.metadata.annotations));
  if (isSame) return undefined;
  const { labels, annotations } = wanted.metadata ?? {};
  const { ports: wantedPorts, selector } = wanted.spec ?? {};
  // null takes away what the owner does not have any more.
  const gone = Object.fromEntries(Object.keys(found.metadata?.annotations ?? {}).map((key) => [key, null]));
  return {
    metadata: { labels, ...(annotations === undefined ? {} : { annotations: { ...gone, ...annotations } }) },
    spec: { ports: wantedPorts, ...(selector === undefined ? {} : { selector }) },
  };
}

// Users may add labels of their own ("cluster-local" for a tag of a route); they stay.
function includes(
  found: Readonly<Record<string, string>> | undefined,
  wanted: Readonly<Record<string, string>> | undefined,
): boolean {
  return Object.entries(wanted ?? {}).every(([key, value]) => found?.[key] === value);
}

/** Creates the slice, or has its endpoints and ports be the wanted ones. */
export async function ensureSlice(
  { client, slices }: KubeServices,
  wanted: EndpointSlice,
  signal: AbortSignal,
): Promise<void> {
  const { namespace = "", name = "" } = wanted.metadata ?? {};
  const found = slices.lister.find(namespace, name);
  if (found === undefined) {
    if ((wanted.endpoints ?? []).length === 0) return;
    await client.create<EndpointSlice>({ resource: endpointSlices, namespace }, wanted, { signal });
    return;
  }
  const essence = ({ endpoints, ports }: EndpointSlice) => ({
    addresses: (endpoints ?? []).map(({ addresses }) => addresses),
    ports: (ports ?? []).map((port) => [port.name, port.port]),
  });
  if (semanticEqual(essence(found), essence(wanted))) return;
  const body = { endpoints: wanted.endpoints, ports: wanted.ports };
  await client.patch(refOf(endpointSlices, found), { type: "merge", body }, { signal });
}

/** The cluster's Services, and the slices that we write. */
export function kubeServiceInformers(context: {
  readonly informers: { informer<T extends KubeObject>(selection: InformerOf): Informer<T> };
}): { readonly services: Informer<Service>; readonly slices: Informer<EndpointSlice> } {
  return {
    services: context.informers.informer<Service>({ resource: kubeServices }),
    slices: context.informers.informer<EndpointSlice>({ resource: endpointSlices }),
  };
}

type InformerOf = { readonly resource: GroupVersionResource };
