/**
 * How a status from a provider becomes the status that the API server keeps: transition times, conditions of others kept, phases that never go back, and the patch
 * between the two. As kubelet's status manager (pkg/kubelet/status, v1.36).
 */
import type { ContainerStatus, Pod, PodCondition, PodStatus } from "#api/generated/types/core-v1.ts";
import { formatTime, isTerminalPhase, kubeletConditionTypes, sameJson } from "./pod-object.ts";

/** What the node knows of itself that providers need not repeat. */
export type StatusDefaults = { readonly hostIPs: readonly string[]; readonly nowMs: number };

/** The status to be kept for `pod`, given what the provider says. Pure. */
export function mergePodStatus(pod: Pod, fresh: PodStatus, defaults: StatusDefaults): PodStatus {
  const old = pod.status ?? {};
  const now = formatTime(defaults.nowMs);
  const phase = isTerminalPhase(old.phase) ? old.phase : (fresh.phase ?? "Pending");
  const keptReason = phase === old.phase ? old : {};
  const hostIP = fresh.hostIP ?? defaults.hostIPs[0];
  const merged: Record<string, unknown> = {
    ...keptForeignFields(old),
    ...fresh,
    phase,
    reason: fresh.reason ?? keptReason.reason,
    message: fresh.message ?? keptReason.message,
    startTime: old.startTime ?? fresh.startTime ?? now,
    hostIP,
    hostIPs: fresh.hostIPs ?? (hostIP === undefined ? undefined : defaults.hostIPs.map((ip) => ({ ip }))),
    qosClass: old.qosClass ?? fresh.qosClass,
    observedGeneration: Math.max(fresh.observedGeneration ?? 0, old.observedGeneration ?? 0) || undefined,
    conditions: mergeConditions(old, fresh, phase, now),
  };
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== undefined)) as PodStatus;
}

/**
 * True when a container that has ended for good would be shown as living again. Such a status is older than what was said before and must not be sent.
 */
export function goesBack(pod: Pod, old: PodStatus, fresh: PodStatus): boolean {
  if ((pod.spec?.restartPolicy ?? "Always") === "Always") return false;
  const mayRestart = new Set(
    [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]
      .filter((container) => container.restartPolicy !== undefined || container.restartPolicyRules !== undefined)
      .map((container) => container.name),
  );
  const ended = (status: ContainerStatus): boolean =>
    status.state?.terminated !== undefined &&
    !mayRestart.has(status.name) &&
    (status.state.terminated.exitCode === 0 || pod.spec?.restartPolicy === "Never");
  const alive = new Set(
    [...(fresh.containerStatuses ?? []), ...(fresh.initContainerStatuses ?? [])]
      .filter((status) => status.state?.terminated === undefined)
      .map((status) => status.name),
  );
  const before = [...(old.containerStatuses ?? []), ...(old.initContainerStatuses ?? [])];
  return before.some((status) => ended(status) && alive.has(status.name));
}

/** The strategic merge patch of `status` that leads from one to the other; undefined when nothing differs. */
export function statusPatch(from: PodStatus, to: PodStatus): Readonly<Record<string, unknown>> | undefined {
  const before = from as Readonly<Record<string, unknown>>;
  const after = to as Readonly<Record<string, unknown>>;
  const patch: Record<string, unknown> = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (sameJson(before[key], after[key])) continue;
    patch[key] = patchOfField(key, before[key], after[key]);
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

// Lists that strategic merge would merge by key: conditions go one by one, addresses are replaced as a whole.
function patchOfField(key: string, before: unknown, after: unknown): unknown {
  if (key === "conditions") return conditionsPatch(before as PodCondition[], after as PodCondition[]);
  if (after === undefined) return null;
  if (key === "podIPs" || key === "hostIPs") return [{ $patch: "replace" }, ...(after as readonly unknown[])];
  return after;
}

function conditionsPatch(before: readonly PodCondition[] = [], after: readonly PodCondition[] = []): unknown[] {
  const changed = after
    .map((condition) => ({ condition, old: before.find((old) => old.type === condition.type) }))
    .filter(({ condition, old }) => !sameJson(old, condition))
    .map(({ condition, old }) => withNulls(old, condition));
  const gone = before
    .filter((old) => !after.some((condition) => condition.type === old.type))
    .map((old) => ({ type: old.type, $patch: "delete" }));
  return [...changed, ...gone];
}

function withNulls(old: PodCondition | undefined, condition: PodCondition): Record<string, unknown> {
  const gone = Object.keys(old ?? {}).filter((key) => !(key in condition));
  return { ...Object.fromEntries(gone.map((key) => [key, null])), ...condition };
}

// Written by other parts of the cluster; a provider knows nothing of them.
function keptForeignFields(old: PodStatus): Partial<PodStatus> {
  const {
    resourceClaimStatuses,
    extendedResourceClaimStatus,
    nodeAllocatableResourceClaimStatuses,
    nominatedNodeName,
  } = old;
  const kept = {
    resourceClaimStatuses,
    extendedResourceClaimStatus,
    nodeAllocatableResourceClaimStatuses,
    nominatedNodeName,
  };
  return Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined));
}

function mergeConditions(old: PodStatus, fresh: PodStatus, phase: string | undefined, now: string): PodCondition[] {
  const foreign = (old.conditions ?? []).filter((condition) => !kubeletConditionTypes.has(condition.type));
  const own = (fresh.conditions ?? []).filter((condition) => kubeletConditionTypes.has(condition.type));
  const shared = (fresh.conditions ?? []).filter((condition) => condition.type === "DisruptionTarget");
  const others =
    isTerminalPhase(phase) && shared.length > 0 ? foreign.filter((it) => it.type !== "DisruptionTarget") : foreign;
  const scheduled = own.some((condition) => condition.type === "PodScheduled")
    ? []
    : [{ type: "PodScheduled", status: "True" }];
  const all = [...own, ...scheduled, ...(isTerminalPhase(phase) ? shared : [])];
  return [...others, ...all.map((condition) => settle(condition, old, phase, now))];
}

function settle(condition: PodCondition, old: PodStatus, phase: string | undefined, now: string): PodCondition {
  const before = old.conditions?.find((other) => other.type === condition.type);
  const final = isTerminalPhase(phase) ? unready(condition, phase) : condition;
  const lastTransitionTime = before?.status === final.status ? (before.lastTransitionTime ?? now) : now;
  return { ...final, lastTransitionTime };
}

// A pod that has ended is not ready, whatever its last probe said (kubernetes #108594).
function unready(condition: PodCondition, phase: string | undefined): PodCondition {
  if (condition.status !== "True" || (condition.type !== "Ready" && condition.type !== "ContainersReady")) {
    return condition;
  }
  const { message: _, ...rest } = condition;
  return { ...rest, status: "False", reason: phase === "Failed" ? "PodFailed" : "PodCompleted" };
}
