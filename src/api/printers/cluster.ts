/**
 * Tables of nodes, namespaces, events, configuration and the other kinds that every cluster has.
 */
import type { Draft, TablePrinter } from "#api/strategy.ts";
import {
  ageColumn,
  ageOf,
  boolean,
  column,
  integer,
  nameColumn,
  namedAndAged,
  nameOf,
  since,
  textOr,
  wide,
} from "./cells.ts";

export const nodePrinter: TablePrinter = {
  columns: [
    nameColumn,
    column("Status"),
    column("Roles"),
    ageColumn,
    column("Version"),
    wide("Internal-IP"),
    wide("External-IP"),
    wide("OS-Image"),
    wide("Kernel-Version"),
    wide("Container-Runtime"),
  ],
  row: (node, now) => {
    const info: Draft = node["status"]?.nodeInfo ?? {};
    const architecture = info["architecture"] ? ` (${info["architecture"]})` : "";
    return [
      nameOf(node),
      nodeStatus(node),
      nodeRoles(node).join(",") || "<none>",
      ageOf(node, now),
      info["kubeletVersion"] ?? "",
      nodeAddress(node, "InternalIP"),
      nodeAddress(node, "ExternalIP"),
      textOr(info["osImage"], "<unknown>"),
      textOr(info["kernelVersion"], "<unknown>") + architecture,
      textOr(info["containerRuntimeVersion"], "<unknown>"),
    ];
  },
};

export const namespacePrinter: TablePrinter = namedAndAged([column("Status")], ({ status }) => [status?.phase ?? ""]);

export const configMapPrinter: TablePrinter = namedAndAged([column("Data")], ({ data, binaryData }) => [
  Object.keys(data ?? {}).length + Object.keys(binaryData ?? {}).length,
]);

export const secretPrinter: TablePrinter = namedAndAged([column("Type"), column("Data")], ({ type, data }) => [
  type ?? "",
  Object.keys(data ?? {}).length,
]);

/** Name and age, for kinds that have nothing else to show. */
export const nameAndAgePrinter: TablePrinter = namedAndAged([], () => []);

export const leasePrinter: TablePrinter = namedAndAged([column("Holder")], ({ spec }) => [spec?.holderIdentity ?? ""]);

export const leaseCandidatePrinter: TablePrinter = namedAndAged(
  [column("LeaseName"), column("BinaryVersion"), column("EmulationVersion")],
  ({ spec }) => [spec?.leaseName ?? "", spec?.binaryVersion ?? "", spec?.emulationVersion ?? ""],
);

export const priorityClassPrinter: TablePrinter = {
  columns: [nameColumn, integer("Value"), boolean("Global-Default"), ageColumn, column("PreemptionPolicy")],
  row: (object, now) => [
    nameOf(object),
    object["value"] ?? 0,
    object["globalDefault"] ?? false,
    ageOf(object, now),
    object["preemptionPolicy"] ?? "",
  ],
};

export const runtimeClassPrinter: TablePrinter = namedAndAged([column("Handler")], ({ handler }) => [handler ?? ""]);

export const resourceQuotaPrinter: TablePrinter = namedAndAged([column("Request"), column("Limit")], ({ status }) => {
  const names = Object.keys(status?.hard ?? {}).sort();
  const show = (name: string): string => `${name}: ${status.used?.[name] ?? "0"}/${status.hard[name]}`;
  const isLimit = (name: string): boolean => name.startsWith("limits.");
  return [
    names
      .filter((name) => !isLimit(name))
      .map(show)
      .join(", "),
    names.filter(isLimit).map(show).join(", "),
  ];
});

export const componentStatusPrinter: TablePrinter = {
  columns: [nameColumn, column("Status"), column("Message"), column("Error")],
  row: (object) => {
    const conditions: readonly Draft[] = object["conditions"] ?? [];
    const healthy = conditions.find(({ type }) => type === "Healthy");
    const status = healthy === undefined ? "Unknown" : healthy["status"] === "True" ? "Healthy" : "Unhealthy";
    return [nameOf(object), status, healthy?.["message"] ?? "", healthy?.["error"] ?? ""];
  },
};

export const eventPrinter: TablePrinter = {
  columns: [
    column("Last Seen"),
    column("Type"),
    column("Reason"),
    column("Object"),
    wide("Subobject"),
    wide("Source"),
    column("Message"),
    wide("First Seen"),
    wide("Count"),
    wide("Name", { format: "name" }),
  ],
  row: (event, now) => {
    const first = since(event["firstTimestamp"] ?? event["eventTime"], now);
    const last = event["lastTimestamp"] == null ? first : since(event["lastTimestamp"], now);
    const series: Draft | undefined = event["series"] ?? undefined;
    const { kind = "", name = "", fieldPath = "" }: Draft = event["involvedObject"] ?? {};
    const host = event["source"]?.host || event["reportingInstance"] || "";
    const component = event["source"]?.component || event["reportingComponent"] || "";
    return [
      series === undefined ? last : since(series["lastObservedTime"], now),
      event["type"] ?? "",
      event["reason"] ?? "",
      name === "" ? kind.toLowerCase() : `${kind.toLowerCase()}/${name}`,
      fieldPath,
      host === "" ? component : `${component}, ${host}`,
      (event["message"] ?? "").trim(),
      first,
      series?.["count"] ?? (event["count"] || 1),
      nameOf(event),
    ];
  },
};

/** Events of events.k8s.io: the same, under other names. */
export const eventsGroupEventPrinter: TablePrinter = {
  columns: eventPrinter.columns,
  row: (event, now) =>
    eventPrinter.row(
      {
        ...event,
        involvedObject: event["regarding"],
        message: event["note"],
        source: event["deprecatedSource"],
        firstTimestamp: event["deprecatedFirstTimestamp"],
        lastTimestamp: event["deprecatedLastTimestamp"],
        count: event["deprecatedCount"],
        reportingComponent: event["reportingController"],
      },
      now,
    ),
};

function nodeStatus(node: Draft): string {
  const conditions: readonly Draft[] = node["status"]?.conditions ?? [];
  const ready = conditions.find(({ type }) => type === "Ready");
  const word = ready === undefined ? "Unknown" : ready["status"] === "True" ? "Ready" : "NotReady";
  return node["spec"]?.unschedulable === true ? `${word},SchedulingDisabled` : word;
}

function nodeRoles(node: Draft): string[] {
  const roles = new Set<string>();
  const prefix = "node-role.kubernetes.io/";
  for (const [key, value] of Object.entries<string>(node["metadata"]?.labels ?? {})) {
    if (key.startsWith(prefix) && key.length > prefix.length) roles.add(key.slice(prefix.length));
    else if (key === "kubernetes.io/role" && value !== "") roles.add(value);
  }
  return [...roles].sort();
}

function nodeAddress(node: Draft, wanted: string): string {
  const addresses: readonly Draft[] = node["status"]?.addresses ?? [];
  return addresses.find(({ type }) => type === wanted)?.["address"] ?? "<none>";
}
