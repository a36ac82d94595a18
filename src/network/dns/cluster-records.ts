/**
 * What the cluster's own names mean: Services, their endpoints, pods, and the way back from addresses. By the DNS-Based Service Discovery specification 1.1.0 of
 * Kubernetes, with CoreDNS' additions (pod records, endpoints named by their address). Answers come from informers, so they stay while the API server is away.
 */
import type { Namespace, Service, ServicePort } from "#api/generated/types/core-v1.ts";
import type { Endpoint, EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { Lister } from "#client/informer.ts";

/** Where records come from. The listers must have the indexes of {@link serviceIndexes} and {@link endpointSliceIndexes}. */
export type RecordSources = {
  readonly services: Lister<Service>;
  readonly endpointSlices: Lister<EndpointSlice>;
  readonly namespaces: Lister<Namespace>;
};

/** One record without its name. Addresses as text, names fully qualified without the last dot. */
export type RecordData =
  | { readonly type: "A" | "AAAA" | "CNAME" | "PTR"; readonly data: string }
  | { readonly type: "TXT"; readonly data: string }
  | { readonly type: "SRV"; readonly port: number; readonly target: string };

/** What a name has: records of all types, or nothing though the name exists. Undefined: there is no such name. */
export type RecordSet = readonly RecordData[] | undefined;

/** Index of Services by their ClusterIPs. */
export const serviceIndexes: { readonly clusterIP: (service: Service) => readonly string[] } = {
  clusterIP: ({ spec }) => (spec?.clusterIPs ?? []).filter((address) => address !== "None" && address !== ""),
};

/** Indexes of EndpointSlices by "namespace/service" and by the addresses in them. */
export const endpointSliceIndexes: {
  readonly service: (slice: EndpointSlice) => readonly string[];
  readonly address: (slice: EndpointSlice) => readonly string[];
} = {
  service: ({ metadata }) => {
    const name = metadata?.labels?.["kubernetes.io/service-name"];
    return name === undefined ? [] : [`${metadata?.namespace ?? ""}/${name}`];
  },
  address: ({ endpoints }) => (endpoints ?? []).flatMap((endpoint) => endpoint.addresses),
};

/** Names of one zone. */
export class ClusterRecords {
  readonly #zone: string;
  readonly #sources: () => RecordSources;

  /** `zone` as "cluster.local". `sources` is asked for each question: where records come from may change. */
  constructor(zone: string, sources: () => RecordSources) {
    this.#zone = zone;
    this.#sources = sources;
  }

  /** True for names that only this zone answers for. */
  owns(name: string): boolean {
    return name === this.#zone || name.endsWith(`.${this.#zone}`);
  }

  /** Records of a name of the zone, in lower case without the last dot. */
  find(name: string): RecordSet {
    const labels = name === this.#zone ? [] : name.slice(0, -this.#zone.length - 1).split(".");
    const kind = labels.at(-1);
    if (kind === undefined) return [];
    if (kind === "dns-version" && labels.length === 1) return [{ type: "TXT", data: "1.1.0" }];
    if (kind === "svc") return this.#serviceName(labels.slice(0, -1));
    if (kind === "pod") return this.#podName(labels.slice(0, -1));
    return undefined;
  }

  /** The names of an address: of the Service with this ClusterIP, or of endpoints of headless Services. Empty when unknown. */
  findByAddress(address: string): readonly string[] {
    const services = this.#sources().services.byIndex("clusterIP", address);
    if (services.length > 0)
      return services.map((service) => this.#nameOf(service.metadata?.name, service.metadata?.namespace));
    return this.#sources()
      .endpointSlices.byIndex("address", address)
      .flatMap((slice) => {
        const { namespace, labels } = slice.metadata ?? {};
        const service = this.#sources().services.find(namespace ?? "", labels?.["kubernetes.io/service-name"] ?? "");
        if (!service || !isHeadless(service)) return [];
        const endpoints = (slice.endpoints ?? []).filter((endpoint) => endpoint.addresses.includes(address));
        return endpoints.map((endpoint) => `${hostOf(endpoint)}.${this.#nameOf(service.metadata?.name, namespace)}`);
      });
  }

  #nameOf(service: string | undefined, namespace: string | undefined): string {
    return `${service}.${namespace}.svc.${this.#zone}`;
  }

  #serviceName(labels: readonly string[]): RecordSet {
    const [namespace, name, ...host] = labels.toReversed();
    if (namespace === undefined) return [];
    if (name === undefined) return this.#sources().namespaces.find("", namespace) ? [] : undefined;
    const service = this.#sources().services.find(namespace, name);
    if (!service) return undefined;
    if (service.spec?.type === "ExternalName") {
      return host.length === 0
        ? [{ type: "CNAME", data: (service.spec.externalName ?? "").replace(/\.$/, "") }]
        : undefined;
    }
    const [last, first] = host;
    if (last === undefined) return this.#wholeService(service);
    if (first === undefined) return this.#endpointName(service, last);
    if (host.length > 2 || !first.startsWith("_") || !last.startsWith("_")) return undefined;
    return this.#portName(service, first.slice(1), last.slice(1));
  }

  #wholeService(service: Service): RecordSet {
    const ports = service.spec?.ports ?? [];
    const own = this.#nameOf(service.metadata?.name, service.metadata?.namespace);
    if (!isHeadless(service)) {
      const addresses = (service.spec?.clusterIPs ?? []).map(addressRecord);
      return [...addresses, ...ports.map(({ port }) => ({ type: "SRV", port, target: own }) as const)];
    }
    const ready = this.#readyEndpoints(service);
    if (ready.length === 0) return undefined;
    const addresses = ready.flatMap(({ endpoint }) => endpoint.addresses).map(addressRecord);
    return [...unique(addresses), ...this.#servicePortRecords(service, () => true)];
  }

  #endpointName(service: Service, host: string): RecordSet {
    if (!isHeadless(service)) return undefined;
    const found = this.#readyEndpoints(service).filter(({ endpoint }) => hostOf(endpoint) === host);
    if (found.length === 0) return undefined;
    return unique(found.flatMap(({ endpoint }) => endpoint.addresses).map(addressRecord));
  }

  #portName(service: Service, port: string, protocol: string): RecordSet {
    const matches = (candidate: { readonly name?: string; readonly protocol?: string }) =>
      candidate.name === port && (candidate.protocol ?? "TCP").toLowerCase() === protocol;
    const records = isHeadless(service)
      ? this.#servicePortRecords(service, matches)
      : (service.spec?.ports ?? []).filter(matches).map((found: ServicePort) => ({
          type: "SRV" as const,
          port: found.port,
          target: this.#nameOf(service.metadata?.name, service.metadata?.namespace),
        }));
    return records.length === 0 ? undefined : records;
  }

  /** A record for each ready endpoint of a headless Service and each of its ports. */
  #servicePortRecords(
    service: Service,
    matches: (port: { readonly name?: string; readonly protocol?: string }) => boolean,
  ): RecordData[] {
    const own = this.#nameOf(service.metadata?.name, service.metadata?.namespace);
    return this.#readyEndpoints(service).flatMap(({ endpoint, slice }) =>
      (slice.ports ?? [])
        .filter((port) => port.port !== undefined && matches(port))
        .map((port) => ({ type: "SRV" as const, port: port.port ?? 0, target: `${hostOf(endpoint)}.${own}` })),
    );
  }

  #readyEndpoints(service: Service): { readonly endpoint: Endpoint; readonly slice: EndpointSlice }[] {
    const key = `${service.metadata?.namespace ?? ""}/${service.metadata?.name ?? ""}`;
    return this.#sources()
      .endpointSlices.byIndex("service", key)
      .flatMap((slice) => (slice.endpoints ?? []).map((endpoint) => ({ endpoint, slice })))
      .filter(({ endpoint }) => endpoint.conditions?.ready !== false);
  }

  /** 10-42-0-7.default.pod: the address itself, as CoreDNS with `pods insecure`. */
  #podName(labels: readonly string[]): RecordSet {
    const [namespace, host, ...rest] = labels.toReversed();
    if (namespace === undefined) return [];
    if (!this.#sources().namespaces.find("", namespace)) return undefined;
    if (host === undefined) return [];
    const address = host.replaceAll("-", ".");
    return rest.length === 0 && /^\d{1,3}(\.\d{1,3}){3}$/.test(address) ? [{ type: "A", data: address }] : undefined;
  }
}

/** A Service without an address of its own: its name means its endpoints. */
export function isHeadless(service: Service): boolean {
  return service.spec?.clusterIP === "None";
}

/** The endpoint's host name, else its address with dashes. */
function hostOf(endpoint: Endpoint): string {
  return endpoint.hostname ?? (endpoint.addresses[0] ?? "").replaceAll(/[.:]/g, "-");
}

function addressRecord(address: string): RecordData {
  return { type: address.includes(":") ? "AAAA" : "A", data: address };
}

function unique(records: readonly RecordData[]): RecordData[] {
  return [...new Map(records.map((record) => [JSON.stringify(record), record])).values()];
}
