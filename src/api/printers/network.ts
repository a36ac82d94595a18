/**
 * Tables of Services, endpoints, Ingresses and network policies.
 */
import type { Draft, TablePrinter } from "#api/strategy.ts";
import { formatLabelSelector } from "#apimachinery/label-selector.ts";
import {
  ageColumn,
  ageOf,
  column,
  firstFew,
  formatLabels,
  nameColumn,
  namedAndAged,
  nameOf,
  textOr,
  wide,
} from "./cells.ts";

export const servicePrinter: TablePrinter = {
  columns: [
    nameColumn,
    column("Type"),
    column("Cluster-IP"),
    column("External-IP"),
    column("Port(s)"),
    ageColumn,
    wide("Selector"),
  ],
  row: (service, now) => {
    const spec: Draft = service["spec"] ?? {};
    return [
      nameOf(service),
      spec["type"] ?? "",
      spec["clusterIPs"]?.[0] ?? "<none>",
      externalAddress(spec, service["status"] ?? {}),
      (spec["ports"] ?? []).map(formatServicePort).join(",") || "<none>",
      ageOf(service, now),
      formatLabels(spec["selector"]),
    ];
  },
};

export const endpointsPrinter: TablePrinter = namedAndAged([column("Endpoints")], (endpoints) => {
  const subsets: readonly Draft[] = endpoints["subsets"] ?? [];
  return [firstFew(subsets.flatMap(subsetAddresses), 3, subsets.length === 0 ? "<none>" : "")];
});

export const endpointSlicePrinter: TablePrinter = namedAndAged(
  [column("AddressType"), column("Ports"), column("Endpoints")],
  ({ addressType, ports, endpoints }) => [
    addressType ?? "",
    firstFew(
      (ports ?? []).map((port: Draft) => String(port["port"] ?? port["name"] ?? "*")),
      3,
      "<unset>",
    ),
    firstFew(
      (endpoints ?? []).flatMap((endpoint: Draft) => endpoint["addresses"] ?? []),
      3,
      "<unset>",
    ),
  ],
);

export const ingressPrinter: TablePrinter = namedAndAged(
  [column("Class"), column("Hosts"), column("Address"), column("Ports")],
  ({ spec, status }) => [
    textOr(spec?.ingressClassName, "<none>"),
    formatHosts(spec?.rules ?? []),
    loadBalancerAddresses(status ?? {}),
    spec?.tls?.length ? "80, 443" : "80",
  ],
);

export const ingressClassPrinter: TablePrinter = {
  columns: [nameColumn, column("Controller"), column("Parameters"), ageColumn],
  row: (object, now) => {
    const isDefault = object["metadata"]?.annotations?.["ingressclass.kubernetes.io/is-default-class"] === "true";
    const { controller, parameters }: Draft = object["spec"] ?? {};
    const group = parameters?.apiGroup == null ? "" : `.${parameters.apiGroup}`;
    return [
      nameOf(object) + (isDefault ? " (default)" : ""),
      controller ?? "",
      parameters == null ? "<none>" : `${parameters.kind}${group}/${parameters.name}`,
      ageOf(object, now),
    ];
  },
};

export const networkPolicyPrinter: TablePrinter = namedAndAged([column("Pod-Selector")], ({ spec }) => [
  formatLabelSelector(spec?.podSelector),
]);

export const serviceCidrPrinter: TablePrinter = namedAndAged([column("CIDRs")], ({ spec }) => [
  (spec?.cidrs ?? []).join(","),
]);

export const ipAddressPrinter: TablePrinter = {
  columns: [nameColumn, column("ParentRef")],
  row: (object) => [nameOf(object), formatParent(object["spec"]?.parentRef)],
};

function formatParent(parent: Draft | undefined): string {
  if (parent === undefined) return "<none>";
  const resource = parent["group"] ? `${parent["resource"]}.${parent["group"]}` : (parent["resource"] ?? "");
  return [resource.toLowerCase(), parent["namespace"], parent["name"]].filter(Boolean).join("/");
}

function externalAddress(spec: Draft, status: Draft): string {
  const external: readonly string[] = spec["externalIPs"] ?? [];
  switch (spec["type"]) {
    case "ClusterIP":
    case "NodePort":
      return external.join(",") || "<none>";
    case "LoadBalancer":
      return [loadBalancerAddresses(status), ...external].filter((text) => text !== "").join(",") || "<pending>";
    case "ExternalName":
      return spec["externalName"] ?? "";
    default:
      return "<unknown>";
  }
}

function loadBalancerAddresses(status: Draft): string {
  const ingress: readonly Draft[] = status["loadBalancer"]?.ingress ?? [];
  const addresses = ingress.map(({ ip, hostname }) => ip || hostname || "").filter((text) => text !== "");
  return [...new Set(addresses)].sort().join(",");
}

function formatServicePort({ port, nodePort, protocol }: Draft): string {
  return nodePort > 0 ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`;
}

function subsetAddresses(subset: Draft): string[] {
  const addresses: readonly Draft[] = subset["addresses"] ?? [];
  const ports: readonly Draft[] = subset["ports"] ?? [];
  // A headless Service may have no ports.
  if (ports.length === 0) return addresses.map(({ ip }) => ip);
  return ports.flatMap(({ port }) =>
    addresses.map(({ ip }) => (ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`)),
  );
}

function formatHosts(rules: readonly Draft[]): string {
  const hosts: string[] = [];
  let more = false;
  for (const { host } of rules) {
    if (hosts.length === 3) more = true;
    if (!more && host) hosts.push(host);
  }
  if (hosts.length === 0) return "*";
  return more ? `${hosts.join(",")} + ${rules.length - 3} more...` : hosts.join(",");
}
