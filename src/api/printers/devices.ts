/**
 * Tables of devices and their claims (resource.k8s.io), and of groups of pods that are scheduled together.
 */
import type { Draft, TablePrinter } from "#api/strategy.ts";
import { column, integer, nameColumn, namedAndAged, nameOf, since } from "./cells.ts";

export const resourceClaimPrinter: TablePrinter = namedAndAged([column("State")], ({ metadata, status }) => {
  const isDeleted = metadata?.deletionTimestamp != null;
  const states = isDeleted ? ["deleted"] : [];
  if (status?.allocation != null) states.push("allocated", ...(status.reservedFor?.length ? ["reserved"] : []));
  else if (!isDeleted) states.push("pending");
  return [states.join(",")];
});

export const resourceSlicePrinter: TablePrinter = namedAndAged(
  [column("Node"), column("Driver"), column("Pool")],
  ({ spec }) => [spec?.nodeName ?? "", spec?.driver ?? "", spec?.pool?.name ?? ""],
);

export const deviceTaintRulePrinter: TablePrinter = namedAndAged(
  [column("Key"), column("Value"), column("Effect"), column("TimeAdded")],
  ({ spec }, now) => {
    const { key = "", value = "", effect = "", timeAdded }: Draft = spec?.taint ?? {};
    return [key, value, effect, timeAdded == null ? "" : since(timeAdded, now)];
  },
);

export const resourcePoolStatusRequestPrinter: TablePrinter = {
  columns: [
    nameColumn,
    ...["Driver", "Total", "Available", "Allocated", "Unavailable", "Errors"].map((name) => column(name)),
    integer("Pools"),
    column("Status"),
    column("Completed"),
  ],
  row: (object, now) => {
    const status: Draft | undefined = object["status"];
    const pools: readonly Draft[] = status?.["pools"] ?? [];
    const poolCount = status?.["poolCount"] ?? 0;
    const conditions: readonly Draft[] = status?.["conditions"] ?? [];
    const end = conditions.find(({ type, status: is }) => is === "True" && (type === "Complete" || type === "Failed"));
    const isCut = end?.["type"] === "Complete" && poolCount > pools.length;
    const sum = (field: string): string => {
      if (status === undefined || end?.["type"] === "Failed") return "-";
      return String(pools.reduce((total, pool) => total + (pool[field] ?? 0), 0));
    };
    return [
      nameOf(object),
      object["spec"]?.driver ?? "",
      sum("totalDevices"),
      sum("availableDevices"),
      sum("allocatedDevices"),
      sum("unavailableDevices"),
      sum("") === "-" ? "-" : String(pools.filter(({ validationError }) => validationError != null).length),
      poolCount,
      isCut ? `Complete (${pools.length}/${poolCount} pools)` : (end?.["type"] ?? "Pending"),
      end?.["type"] === "Complete" ? since(end["lastTransitionTime"], now) : "<none>",
    ];
  },
};

export const podGroupPrinter: TablePrinter = namedAndAged(
  [column("Policy"), column("Workload"), column("Status")],
  ({ spec, status }) => {
    const conditions: readonly Draft[] = status?.conditions ?? [];
    const scheduled = conditions.find(({ type }) => type === "PodGroupScheduled");
    const disrupted = conditions.find(({ type }) => type === "DisruptionTarget");
    const word = scheduled === undefined ? "Pending" : scheduled["status"] === "True" ? "Scheduled" : "Unschedulable";
    return [
      spec?.schedulingPolicy?.gang == null ? "Basic" : "Gang",
      spec?.podGroupTemplateRef?.workload?.workloadName ?? "<none>",
      disrupted?.["reason"] ?? word,
    ];
  },
);
