/**
 * Backends of Ingresses as clusters of the proxy: a Service's port, and the pods behind it that are ready. Requests go to pods themselves and not through the ClusterIP, so that each is balanced.
 */
import type { Service, ServicePort } from "#api/generated/types/core-v1.ts";
import type { Endpoint, EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { IngressServiceBackend } from "#api/generated/types/networking-v1.ts";
import type { ClusterConfig, EndpointConfig } from "#proxy/config/cluster.ts";

/** What a backend refers to. Without the Service, or without the port, nobody serves it. */
export type BackendObjects = {
  readonly service: Service | undefined;
  readonly slices: readonly EndpointSlice[];
};

export function clusterOf(name: string, backend: IngressServiceBackend, objects: BackendObjects): ClusterConfig {
  const port = findPort(objects.service, backend);
  const endpoints = port === undefined ? [] : endpointsOf(objects.slices, port);
  const isSticky = objects.service?.spec?.sessionAffinity === "ClientIP";
  return {
    name,
    endpoints,
    ...(port !== undefined && isHttp2(port) ? { protocol: "http2" } : {}),
    ...(isSticky ? { balance: { kind: "consistentHash", by: { kind: "address" } } } : {}),
  };
}

function findPort(service: Service | undefined, { port }: IngressServiceBackend): ServicePort | undefined {
  if (service === undefined || service.spec?.type === "ExternalName") return undefined;
  return service.spec?.ports?.find((each) =>
    port?.name === undefined ? each.port === port?.number : each.name === port.name,
  );
}

/** KEP-3726's words for HTTP/2 without TLS. */
function isHttp2({ appProtocol }: ServicePort): boolean {
  return appProtocol === "kubernetes.io/h2c";
}

/** Ready ones; while there are none, those that still serve while they end. */
function endpointsOf(slices: readonly EndpointSlice[], port: ServicePort): readonly EndpointConfig[] {
  const all = slices.flatMap((slice) => {
    const target = slice.ports?.find((each) => (each.name ?? "") === (port.name ?? ""))?.port;
    if (target === undefined || slice.addressType === "FQDN") return [];
    return (slice.endpoints ?? []).map((endpoint) => ({ endpoint, port: target }));
  });
  const ready = all.filter(({ endpoint }) => endpoint.conditions?.ready !== false);
  const usable = ready.length > 0 ? ready : all.filter(({ endpoint }) => isEnding(endpoint));
  const named = new Map<string, EndpointConfig>();
  for (const { endpoint, port: number } of usable) {
    const address = endpoint.addresses[0];
    if (address !== undefined) named.set(`${address} ${number}`, { address, port: number });
  }
  // In a fixed order: what is the same must look the same.
  return [...named].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, endpoint]) => endpoint);
}

function isEnding({ conditions }: Endpoint): boolean {
  return conditions?.serving === true && conditions.terminating === true;
}
