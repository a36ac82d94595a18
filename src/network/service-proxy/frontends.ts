/**
 * What a Service means for packets: the addresses and ports at which it answers, and the endpoints behind each. Pure; rules as kube-proxy's.
 */
import type { Pod, Service, ServicePort } from "#api/generated/types/core-v1.ts";
import type { Endpoint, EndpointSlice } from "#api/generated/types/discovery-v1.ts";

/** Address and port of an endpoint. */
export type Target = { readonly address: string; readonly port: number };

/** One place at which a Service answers. */
export type Frontend = {
  /** The address, or "node" for a port of the node's own addresses. */
  readonly address: string;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly port: number;
  readonly targets: readonly Target[];
  /** Clients keep their endpoint for so many seconds after their last packet. Absent: any endpoint each time. */
  readonly affinitySeconds?: number;
  /** Endpoints see the client's own address, also when it comes from outside of the cluster. */
  readonly keepsSource: boolean;
  /** True for addresses outside of the Service range, whose clients may need their source rewritten. */
  readonly isExternal: boolean;
  /** What becomes of packets when there are no targets. */
  readonly whenEmpty: "reject" | "drop";
};

/** What is known of the node that asks. */
export type NodeContext = { readonly nodeName: string };

const defaultAffinitySeconds = 10_800;

/** All frontends of a Service. None for headless and external ones, and for those that another proxy serves. */
export function frontendsOf(
  service: Service,
  slices: readonly EndpointSlice[],
  node: NodeContext,
): readonly Frontend[] {
  const { spec, metadata } = service;
  if (
    !spec ||
    spec.type === "ExternalName" ||
    metadata?.labels?.["service.kubernetes.io/service-proxy-name"] !== undefined
  )
    return [];
  const addresses = (spec.clusterIPs ?? []).filter(
    (address) => address !== "None" && address !== "" && !address.includes(":"),
  );
  if (addresses.length === 0) return [];
  return (spec.ports ?? []).flatMap((port) => portFrontends(service, port, addresses, endpointsOf(slices, port), node));
}

type ReadyEndpoint = { readonly endpoint: Endpoint; readonly target: Target };

function portFrontends(
  service: Service,
  port: ServicePort,
  clusterIPs: readonly string[],
  endpoints: readonly ReadyEndpoint[],
  node: NodeContext,
): Frontend[] {
  const spec = service.spec ?? {};
  const isLocal = ({ endpoint }: ReadyEndpoint) => endpoint.nodeName === node.nodeName;
  const internalLocal = spec.internalTrafficPolicy === "Local";
  const externalLocal = spec.externalTrafficPolicy === "Local";
  const usable = preferReady(endpoints);
  const common = {
    protocol: (port.protocol ?? "TCP").toLowerCase() as Frontend["protocol"],
    ...(spec.sessionAffinity === "ClientIP"
      ? { affinitySeconds: spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? defaultAffinitySeconds }
      : {}),
  };
  const internal = {
    ...common,
    port: port.port,
    targets: targetsOf(internalLocal ? preferReady(endpoints.filter(isLocal)) : usable),
    keepsSource: true,
    isExternal: false,
    whenEmpty: internalLocal && usable.length > 0 ? "drop" : "reject",
  } as const;
  const external = {
    ...common,
    port: port.port,
    targets: targetsOf(externalLocal ? preferReady(endpoints.filter(isLocal)) : usable),
    keepsSource: externalLocal,
    isExternal: true,
    whenEmpty: externalLocal && usable.length > 0 ? "drop" : "reject",
  } as const;
  const outside = [...(spec.externalIPs ?? []), ...loadBalancerAddresses(service)].filter(
    (address) => !address.includes(":"),
  );
  return [
    ...clusterIPs.map((address) => ({ ...internal, address })),
    ...outside.map((address) => ({ ...external, address })),
    ...(port.nodePort ? [{ ...external, address: "node", port: port.nodePort }] : []),
  ];
}

/** Frontends of a pod's host ports. None for pods in the machine's own network, and for those that have ended. */
export function hostPortFrontends({ spec, status }: Pod): readonly Frontend[] {
  const address = status?.podIP;
  const hasEnded = status?.phase === "Succeeded" || status?.phase === "Failed";
  if (!spec || spec.hostNetwork === true || address === undefined || address === "" || hasEnded) return [];
  const containers = [
    ...(spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always"),
    ...spec.containers,
  ];
  return containers
    .flatMap(({ ports }) => ports ?? [])
    .filter(({ hostPort }) => hostPort !== undefined && hostPort > 0)
    .map(({ hostPort = 0, hostIP = "", containerPort, protocol = "TCP" }) => ({
      address: hostIP === "" || hostIP === "0.0.0.0" ? "node" : hostIP,
      protocol: protocol.toLowerCase() as Frontend["protocol"],
      port: hostPort,
      targets: [{ address, port: containerPort }],
      keepsSource: false,
      isExternal: true,
      whenEmpty: "reject",
    }));
}

function loadBalancerAddresses({ spec, status }: Service): string[] {
  if (spec?.type !== "LoadBalancer") return [];
  const ingress = status?.loadBalancer?.ingress ?? [];
  return ingress.filter(({ ipMode }) => ipMode !== "Proxy").flatMap(({ ip }) => (ip === undefined ? [] : [ip]));
}

/** Endpoints of the slices that have this Service port, by its name. */
function endpointsOf(slices: readonly EndpointSlice[], port: ServicePort): ReadyEndpoint[] {
  const found = new Map<string, ReadyEndpoint>();
  for (const slice of slices) {
    if (slice.addressType !== "IPv4") continue;
    const match = (slice.ports ?? []).find(
      (candidate) =>
        (candidate.name ?? "") === (port.name ?? "") && (candidate.protocol ?? "TCP") === (port.protocol ?? "TCP"),
    );
    if (match?.port === undefined) continue;
    for (const endpoint of slice.endpoints ?? []) {
      const [address] = endpoint.addresses;
      if (address === undefined) continue;
      const key = `${address}:${match.port}`;
      const known = found.get(key);
      // The same endpoint may stand in two slices while they are rewritten: the ready one counts.
      if (!known || known.endpoint.conditions?.ready === false)
        found.set(key, { endpoint, target: { address, port: match.port } });
    }
  }
  return [...found.values()];
}

/** The ready ones; when there is none, those that still serve while they end. */
function preferReady(endpoints: readonly ReadyEndpoint[]): readonly ReadyEndpoint[] {
  const ready = endpoints.filter(({ endpoint }) => endpoint.conditions?.ready !== false);
  if (ready.length > 0) return ready;
  return endpoints.filter(
    ({ endpoint }) => endpoint.conditions?.serving === true && endpoint.conditions.terminating === true,
  );
}

/** In a fixed order, so that an unchanged set of endpoints changes nothing. */
function targetsOf(endpoints: readonly ReadyEndpoint[]): readonly Target[] {
  return endpoints.map(({ target }) => target).sort((a, b) => compare(a.address, b.address) || a.port - b.port);
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
