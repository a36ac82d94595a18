/**
 * Tables of what makes pods: Deployments, ReplicaSets, Jobs and their like, and of what watches over them.
 */
import type { Draft, TablePrinter } from "#api/strategy.ts";
import { humanDuration } from "#apimachinery/duration.ts";
import { compileLabelSelector, formatLabelSelector, formatSelector } from "#apimachinery/label-selector.ts";
import { parseApiVersion } from "#apimachinery/meta.ts";
import { findTimeMs } from "#apimachinery/time.ts";
import {
  ageColumn,
  ageOf,
  boolean,
  column,
  containerCells,
  containerColumns,
  firstFew,
  formatLabels,
  integer,
  nameColumn,
  namedAndAged,
  nameOf,
  since,
  textOr,
  wide,
} from "./cells.ts";

const selectorColumn = wide("Selector");

export const deploymentPrinter: TablePrinter = {
  columns: [
    nameColumn,
    column("Ready"),
    column("Up-to-date"),
    column("Available"),
    ageColumn,
    ...containerColumns,
    selectorColumn,
  ],
  row: ({ spec, status, ...object }, now) => [
    nameOf(object),
    `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`,
    status?.updatedReplicas ?? 0,
    status?.availableReplicas ?? 0,
    ageOf(object, now),
    ...containerCells(spec?.template),
    deploymentSelector(spec),
  ],
};

export const replicaSetPrinter: TablePrinter = {
  columns: [
    nameColumn,
    integer("Desired"),
    integer("Current"),
    integer("Ready"),
    ageColumn,
    ...containerColumns,
    selectorColumn,
  ],
  row: ({ spec, status, ...object }, now) => [
    nameOf(object),
    spec?.replicas ?? 0,
    status?.replicas ?? 0,
    status?.readyReplicas ?? 0,
    ageOf(object, now),
    ...containerCells(spec?.template),
    formatLabelSelector(spec?.selector),
  ],
};

/** As ReplicaSets, but the selector is a map of labels. */
export const replicationControllerPrinter: TablePrinter = {
  columns: replicaSetPrinter.columns,
  row: (object, now) => {
    const cells = replicaSetPrinter.row({ ...object, spec: { ...object["spec"], selector: {} } }, now);
    return [...cells.slice(0, -1), formatLabels(object["spec"]?.selector)];
  },
};

export const daemonSetPrinter: TablePrinter = {
  columns: [
    nameColumn,
    ...["Desired", "Current", "Ready", "Up-to-date", "Available"].map(integer),
    column("Node Selector"),
    ageColumn,
    ...containerColumns,
    selectorColumn,
  ],
  row: ({ spec, status, ...object }, now) => [
    nameOf(object),
    status?.desiredNumberScheduled ?? 0,
    status?.currentNumberScheduled ?? 0,
    status?.numberReady ?? 0,
    status?.updatedNumberScheduled ?? 0,
    status?.numberAvailable ?? 0,
    formatLabels(spec?.template?.spec?.nodeSelector),
    ageOf(object, now),
    ...containerCells(spec?.template),
    formatLabelSelector(spec?.selector),
  ],
};

export const statefulSetPrinter: TablePrinter = {
  columns: [nameColumn, column("Ready"), ageColumn, ...containerColumns],
  row: ({ spec, status, ...object }, now) => [
    nameOf(object),
    `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`,
    ageOf(object, now),
    ...containerCells(spec?.template),
  ],
};

export const jobPrinter: TablePrinter = {
  columns: [
    nameColumn,
    column("Status"),
    column("Completions"),
    column("Duration"),
    ageColumn,
    ...containerColumns,
    selectorColumn,
  ],
  row: (job, now) => [
    nameOf(job),
    jobStatus(job),
    jobCompletions(job["spec"] ?? {}, job["status"] ?? {}),
    jobDuration(job["status"] ?? {}, now),
    ageOf(job, now),
    ...containerCells(job["spec"]?.template),
    formatLabelSelector(job["spec"]?.selector),
  ],
};

export const cronJobPrinter: TablePrinter = {
  columns: [
    nameColumn,
    column("Schedule"),
    column("Timezone"),
    boolean("Suspend"),
    integer("Active"),
    column("Last Schedule"),
    ageColumn,
    ...containerColumns,
    selectorColumn,
  ],
  row: ({ spec, status, ...object }, now) => [
    nameOf(object),
    spec?.schedule ?? "",
    textOr(spec?.timeZone, "<none>"),
    spec?.suspend === undefined ? "<unset>" : spec.suspend === true ? "True" : "False",
    status?.active?.length ?? 0,
    status?.lastScheduleTime == null ? "<none>" : since(status.lastScheduleTime, now),
    ageOf(object, now),
    ...containerCells(spec?.jobTemplate?.spec?.template),
    formatLabelSelector(spec?.jobTemplate?.spec?.selector),
  ],
};

export const controllerRevisionPrinter: TablePrinter = namedAndAged(
  [column("Controller"), column("Revision")],
  (revision) => [controllerOf(revision), revision["revision"] ?? 0],
);

export const podTemplatePrinter: TablePrinter = {
  columns: [nameColumn, column("Containers"), column("Images"), column("Pod Labels")],
  row: (object) => [
    nameOf(object),
    ...containerCells(object["template"]),
    formatLabels(object["template"]?.metadata?.labels),
  ],
};

export const podDisruptionBudgetPrinter: TablePrinter = namedAndAged(
  [column("Min Available"), column("Max Unavailable"), integer("Allowed Disruptions")],
  ({ spec, status }) => [
    textOr(spec?.minAvailable, "N/A"),
    textOr(spec?.maxUnavailable, "N/A"),
    status?.disruptionsAllowed ?? 0,
  ],
);

export const horizontalPodAutoscalerPrinter: TablePrinter = namedAndAged(
  ["Reference", "Targets", "MinPods", "MaxPods", "Replicas"].map((name) => column(name)),
  ({ spec, status }) => [
    `${spec?.scaleTargetRef?.kind ?? ""}/${spec?.scaleTargetRef?.name ?? ""}`,
    metricTargets(spec ?? {}, status ?? {}),
    textOr(spec?.minReplicas, "<unset>"),
    spec?.maxReplicas ?? 0,
    status?.currentReplicas ?? 0,
  ],
);

export const scalePrinter: TablePrinter = {
  columns: [column("Name"), integer("Desired"), integer("Available"), ageColumn],
  row: (scale, now) => [nameOf(scale), scale["spec"]?.replicas ?? 0, scale["status"]?.replicas ?? 0, ageOf(scale, now)],
};

function deploymentSelector(spec: Draft | undefined): string {
  try {
    return formatSelector(compileLabelSelector(spec?.["selector"]));
  } catch {
    return "<invalid>";
  }
}

function jobStatus(job: Draft): string {
  const conditions: readonly Draft[] = job["status"]?.conditions ?? [];
  const has = (wanted: string): boolean => conditions.find(({ type }) => type === wanted)?.["status"] === "True";
  if (has("Complete")) return "Complete";
  if (has("Failed")) return "Failed";
  if (job["metadata"]?.deletionTimestamp != null) return "Terminating";
  return ["Suspended", "FailureTarget", "SuccessCriteriaMet"].find(has) ?? "Running";
}

function jobCompletions(spec: Draft, status: Draft): string {
  const succeeded = status["succeeded"] ?? 0;
  if (spec["completions"] != null) return `${succeeded}/${spec["completions"]}`;
  const parallelism = spec["parallelism"] ?? 0;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function jobDuration(status: Draft, now: number): string {
  const start = findTimeMs(status["startTime"] ?? "");
  if (start === undefined) return "";
  const end = findTimeMs(status["completionTime"] ?? "");
  return end === undefined ? since(status["startTime"], now) : humanDuration(end - start);
}

function controllerOf(object: Draft): string {
  const owners: readonly Draft[] = object["metadata"]?.ownerReferences ?? [];
  const owner = owners.find(({ controller }) => controller === true);
  if (owner === undefined) return "<none>";
  const { group } = parseApiVersion(owner["apiVersion"]);
  const kind = group === "" ? owner["kind"] : `${owner["kind"]}.${group}`;
  return `${kind.toLowerCase()}/${owner["name"]}`;
}

function metricTargets(spec: Draft, status: Draft): string {
  // autoscaling/v1 has one number where v2 has a list.
  if (spec["metrics"] === undefined && spec["targetCPUUtilizationPercentage"] != null) {
    const current = percent(status["currentCPUUtilizationPercentage"], "<unknown>");
    return `cpu: ${current}/${spec["targetCPUUtilizationPercentage"]}%`;
  }
  const metrics: readonly Draft[] = spec["metrics"] ?? [];
  const current: readonly Draft[] = status["currentMetrics"] ?? [];
  return firstFew(
    metrics.map((metric, index) => metricTarget(metric, current[index])),
    2,
    "<none>",
    ", ",
  );
}

function metricTarget(metric: Draft, status: Draft | undefined): string {
  const source = {
    External: "external",
    Pods: "pods",
    Object: "object",
    Resource: "resource",
    ContainerResource: "containerResource",
  }[metric["type"] as string];
  if (source === undefined) return "<unknown type>";
  const { target, name }: Draft = metric[source] ?? {};
  const current: Draft = status?.[source]?.current ?? {};
  if (source === "pods") return `${textOr(current["averageValue"], "<unknown>")}/${target?.averageValue ?? "<nil>"}`;
  const isResource = source === "resource" || source === "containerResource";
  if (target?.averageValue != null) {
    const values = `${textOr(current["averageValue"], "<unknown>")}/${target.averageValue}`;
    return isResource ? `${name}: ${values}` : `${values} (avg)`;
  }
  if (!isResource) return `${textOr(current["value"], "<unknown>")}/${target?.value ?? "<nil>"}`;
  return `${name}: ${percent(current["averageUtilization"], "<unknown>")}/${percent(target?.averageUtilization, "<auto>")}`;
}

function percent(value: unknown, empty: string): string {
  return value === undefined || value === null ? empty : `${value}%`;
}
