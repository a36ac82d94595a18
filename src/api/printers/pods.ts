/**
 * The Table of pods: readiness, the one word that sums a pod up, restarts.
 */
import type { Draft, TablePrinter } from "#api/strategy.ts";
import { findTimeMs } from "#apimachinery/time.ts";
import { ageColumn, ageOf, column, nameColumn, nameOf, since, textOr, wide } from "./cells.ts";

/** What the walk over a pod's containers finds. */
type Summary = { reason: string; restarts: number; lastRestart: string | undefined; ready: number };

export const podPrinter: TablePrinter = {
  columns: [
    nameColumn,
    column("Ready"),
    column("Status"),
    column("Restarts"),
    ageColumn,
    wide("IP"),
    wide("Node"),
    wide("Nominated Node"),
    wide("Readiness Gates"),
  ],
  unread: [
    "managedFields",
    "annotations",
    "labels",
    "ownerReferences",
    "args",
    "command",
    "env",
    "envFrom",
    "ports",
    "resources",
    "volumes",
    "volumeMounts",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "securityContext",
    "affinity",
    "tolerations",
    "topologySpreadConstraints",
    "image",
    "imageID",
    "containerID",
    "lastProbeTime",
    "lastTransitionTime",
    "hostIPs",
    "user",
    "allocatedResources",
  ],
  row: (pod, now) => {
    const spec: Draft = pod["spec"] ?? {};
    const status: Draft = pod["status"] ?? {};
    const summary = summarize(pod, spec, status);
    const total = (spec["containers"] ?? []).length + (spec["initContainers"] ?? []).filter(isRestartable).length;
    const { restarts, lastRestart } = summary;
    const isDated = restarts !== 0 && lastRestart !== undefined;
    return [
      nameOf(pod),
      `${summary.ready}/${total}`,
      summary.reason,
      isDated ? `${restarts} (${since(lastRestart, now)} ago)` : String(restarts),
      ageOf(pod, now),
      textOr(status["podIPs"]?.[0]?.ip, "<none>"),
      textOr(spec["nodeName"], "<none>"),
      textOr(status["nominatedNodeName"], "<none>"),
      readinessGates(spec, status),
    ];
  },
  conditions: (pod) => {
    const phase = pod["status"]?.phase;
    if (phase === "Succeeded") return [completed(phase, "The pod has completed successfully.")];
    return phase === "Failed" ? [completed(phase, "The pod failed.")] : [];
  },
};

function completed(reason: string, message: string) {
  return { type: "Completed", status: "True", reason, message } as const;
}

function summarize(pod: Draft, spec: Draft, status: Draft): Summary {
  const conditions: readonly Draft[] = status["conditions"] ?? [];
  const isGated = conditions.some(({ type, reason }) => type === "PodScheduled" && reason === "SchedulingGated");
  const reason = isGated ? "SchedulingGated" : status["reason"] || status["phase"] || "";
  const summary: Summary = { reason, restarts: 0, lastRestart: undefined, ready: 0 };
  const restartable: Summary = { ...summary };
  const isInitializing = walkInitContainers(spec, status, summary, restartable);
  if (!isInitializing || isConditionTrue(conditions, "Initialized")) {
    summary.restarts = restartable.restarts;
    summary.lastRestart = restartable.lastRestart;
    walkContainers(status, conditions, summary);
  }
  const isDeleted = pod["metadata"]?.deletionTimestamp != null;
  const isOver = status["phase"] === "Succeeded" || status["phase"] === "Failed";
  if (isDeleted && status["reason"] === "NodeLost") summary.reason = "Unknown";
  else if (isDeleted && !isOver) summary.reason = "Terminating";
  return summary;
}

/** Gives true while init containers are not through. `restartable` sums up the sidecars alone. */
function walkInitContainers(spec: Draft, status: Draft, summary: Summary, restartable: Summary): boolean {
  const containers: readonly Draft[] = spec["initContainers"] ?? [];
  const statuses: readonly Draft[] = status["initContainerStatuses"] ?? [];
  for (const [index, container] of statuses.entries()) {
    const isSidecar = isRestartable(containers.find(({ name }) => name === container["name"]) ?? {});
    countRestarts(container, summary);
    if (isSidecar) countRestarts(container, restartable);
    const { terminated, waiting }: Draft = container["state"] ?? {};
    if (terminated?.exitCode === 0) continue;
    if (isSidecar && container["started"] === true) {
      if (container["ready"] === true) summary.ready++;
      continue;
    }
    const isWaiting = textOr(waiting?.reason, "PodInitializing") !== "PodInitializing";
    if (terminated) summary.reason = `Init:${terminated.reason || exitText(terminated)}`;
    else summary.reason = isWaiting ? `Init:${waiting.reason}` : `Init:${index}/${containers.length}`;
    return true;
  }
  return false;
}

function walkContainers(status: Draft, conditions: readonly Draft[], summary: Summary): void {
  let hasRunning = false;
  let errorReason = "";
  for (const container of [...(status["containerStatuses"] ?? [])].reverse() as readonly Draft[]) {
    countRestarts(container, summary);
    const { waiting, terminated, running }: Draft = container["state"] ?? {};
    if (waiting?.reason) summary.reason = waiting.reason;
    else if (terminated) {
      summary.reason = terminated.reason || exitText(terminated);
      if (terminated.exitCode !== 0) errorReason = summary.reason;
    } else if (container["ready"] === true && running) {
      hasRunning = true;
      summary.ready++;
    }
  }
  // A pod of which some containers ended and others go on is still running.
  if (summary.reason !== "Completed") return;
  if (hasRunning && isConditionTrue(conditions, "Ready")) summary.reason = "Running";
  else if (errorReason !== "") summary.reason = errorReason;
  else if (hasRunning) summary.reason = "NotReady";
}

function exitText(terminated: Draft): string {
  return terminated["signal"] ? `Signal:${terminated["signal"]}` : `ExitCode:${terminated["exitCode"] ?? 0}`;
}

function countRestarts(container: Draft, summary: Summary): void {
  summary.restarts += container["restartCount"] ?? 0;
  const finishedAt = container["lastState"]?.terminated?.finishedAt;
  const isLater = (findTimeMs(finishedAt ?? "") ?? 0) > (findTimeMs(summary.lastRestart ?? "") ?? 0);
  if (isLater) summary.lastRestart = finishedAt;
}

function readinessGates(spec: Draft, status: Draft): string {
  const gates: readonly Draft[] = spec["readinessGates"] ?? [];
  if (gates.length === 0) return "<none>";
  const conditions: readonly Draft[] = status["conditions"] ?? [];
  const open = gates.filter(({ conditionType }) => isConditionTrue(conditions, conditionType));
  return `${open.length}/${gates.length}`;
}

function isConditionTrue(conditions: readonly Draft[], wanted: string): boolean {
  return conditions.find(({ type }) => type === wanted)?.["status"] === "True";
}

function isRestartable(container: Draft): boolean {
  return container["restartPolicy"] === "Always";
}
