/**
 * Backends of Ingresses as clusters of the proxy: a Service's port, and the pods behind it that are ready. Requests go to pods themselves and not through the ClusterIP, so that each is balanced. A
 * Service of type ExternalName is where its name leads.
 */
import type { Service, ServicePort } from "#api/generated/types/core-v1.ts";
import type { Endpoint, EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { IngressServiceBackend } from "#api/generated/types/networking-v1.ts";
import type { ClusterConfig, EndpointConfig } from "#proxy/config/cluster.ts";
import type { BackendProtocol, IngressSettings } from "./ingress-annotations.ts";

/** What a backend refers to. Without the Service, or without the port, nobody serves it. */
export type BackendObjects = {
  readonly service: Service | undefined;
  readonly slices: readonly EndpointSlice[];
  /** Of a Service of type ExternalName. */
  readonly externalAddresses: readonly string[];
  /** Pods, by uid, that are about to end: they get nothing as long as there are others. */
  readonly leaving?: ReadonlySet<string>;
};

/** What of an Ingress' settings is about its backends. */
export type ClusterSettings = Pick<IngressSettings, "protocol" | "connectTimeoutMs">;

/** KEP-3726's words, and those that people use beside them. */
const protocols: Readonly<Record<string, BackendProtocol>> = {
  "kubernetes.io/h2c": "GRPC",
  grpc: "GRPC",
  https: "HTTPS",
  "kubernetes.io/wss": "HTTPS",
};

export function clusterOf(
  name: string,
  backend: IngressServiceBackend,
  { service, slices, externalAddresses, leaving = new Set(), ...settings }: BackendObjects & ClusterSettings,
): ClusterConfig {
  const port = findPort(service, backend);
  const external = externalNameOf(service) !== undefined;
  const endpoints = external
    ? externalEndpoints(externalAddresses, port?.port ?? backend.port?.number)
    : readyEndpoints(slices, port, leaving);
  const isSticky = service?.spec?.sessionAffinity === "ClientIP";
  const protocol = settings.protocol ?? protocols[port?.appProtocol ?? ""] ?? "HTTP";
  return {
    name,
    endpoints,
    ...(protocol === "GRPC" || protocol === "GRPCS" ? { protocol: "http2" } : {}),
    // As ingress-nginx: pods show certificates of their own making.
    ...(protocol === "HTTPS" || protocol === "GRPCS" ? { tls: { skipsVerification: true } } : {}),
    ...(isSticky ? { balance: { kind: "consistentHash", by: { kind: "address" } } } : {}),
    ...(settings.connectTimeoutMs === undefined ? {} : { connectTimeoutMs: settings.connectTimeoutMs }),
  };
}

/** Where a Service of type ExternalName leads. */
export function externalNameOf(service: Service | undefined): string | undefined {
  if (service?.spec?.type !== "ExternalName") return undefined;
  return service.spec.externalName?.toLowerCase().replace(/\.$/, "");
}

/** The port that the backend names, by name or number. */
export function findPort(service: Service | undefined, { port }: IngressServiceBackend): ServicePort | undefined {
  return service?.spec?.ports?.find((each) =>
    port?.name === undefined || port.name === "" ? each.port === port?.number : each.name === port.name,
  );
}

function externalEndpoints(addresses: readonly string[], port: number | undefined): readonly EndpointConfig[] {
  return port === undefined ? [] : addresses.map((address) => ({ address, port }));
}

/** Ready ones; while there are none, those that still serve while they end. */
function readyEndpoints(
  slices: readonly EndpointSlice[],
  port: ServicePort | undefined,
  leaving: ReadonlySet<string>,
): readonly EndpointConfig[] {
  if (port === undefined) return [];
  const all = slices.flatMap((slice) => {
    const target = slice.ports?.find((each) => (each.name ?? "") === (port.name ?? ""))?.port;
    if (target === undefined || slice.addressType === "FQDN") return [];
    return (slice.endpoints ?? []).map((endpoint) => ({ endpoint, port: target }));
  });
  const ready = all.filter(({ endpoint }) => endpoint.conditions?.ready !== false);
  const staying = ready.filter(({ endpoint }) => !leaving.has(endpoint.targetRef?.uid ?? ""));
  const serving = staying.length > 0 ? staying : ready;
  const usable = serving.length > 0 ? serving : all.filter(({ endpoint }) => isEnding(endpoint));
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
