/**
 * The cluster's names as lines of /etc/hosts, for those who cannot ask the cluster's DNS: where port 53 is not to be had, no resolver of the C library can be told of another one.
 */
import type { Service } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { Lister } from "#client/informer.ts";

/** Where names come from. */
export type HostNameSources = {
  readonly services: Lister<Service>;
  /** With the index "service". */
  readonly endpointSlices: Lister<EndpointSlice>;
};

/** Lines for pods of this namespace: Services with their ClusterIP, headless ones with their ready endpoints, each by all names that its search list would find. */
export function hostLines({ services, endpointSlices }: HostNameSources, zone: string, namespace: string): string {
  const lines = services.list().flatMap((service) => {
    const { name = "", namespace: own = "" } = service.metadata ?? {};
    const names = [`${name}.${own}.svc.${zone}`, `${name}.${own}.svc`, `${name}.${own}`];
    const all = own === namespace ? [...names, name] : names;
    const { clusterIP, type } = service.spec ?? {};
    if (type === "ExternalName") return [];
    if (clusterIP !== "None") return clusterIP ? [`${clusterIP} ${all.join(" ")}`] : [];
    const slices = endpointSlices.byIndex("service", `${own}/${name}`);
    return readyEndpoints(slices).flatMap(({ address, hostname }) => [
      `${address} ${all.join(" ")}`,
      ...(hostname === undefined ? [] : [`${address} ${all.map((known) => `${hostname}.${known}`).join(" ")}`]),
    ]);
  });
  return lines.map((line) => `${line}\n`).join("");
}

function readyEndpoints(slices: readonly EndpointSlice[]) {
  return slices
    .filter(({ addressType }) => addressType === "IPv4")
    .flatMap(({ endpoints }) => endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false)
    .flatMap(({ addresses: [address], hostname }) => (address === undefined ? [] : [{ address, hostname }]));
}
