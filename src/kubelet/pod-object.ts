/**
 * Small questions about pod objects that many files of the kubelet ask.
 */
import type { Container, ContainerStatus, Pod, PodCondition, PodStatus } from "#api/generated/types/core-v1.ts";
import type { PodRef } from "./provider.ts";

/** What a pod is called for good. */
export function refOf(pod: Pod): PodRef {
  return {
    namespace: pod.metadata?.namespace ?? "",
    name: pod.metadata?.name ?? "",
    uid: pod.metadata?.uid ?? "",
  };
}

/** "namespace/name", as log lines name pods. */
export function podKey(ref: PodRef): string {
  return `${ref.namespace}/${ref.name}`;
}

/** "name_namespace(uid)", as upstream's messages name pods. */
export function formatPod(ref: PodRef): string {
  return `${ref.name}_${ref.namespace}(${ref.uid})`;
}

/** Succeeded and Failed are for ever. */
export function isTerminalPhase(phase: string | undefined): boolean {
  return phase === "Succeeded" || phase === "Failed";
}

/** True for init containers that keep running beside the main ones (sidecars). */
export function isRestartableInit(container: Container): boolean {
  return container.restartPolicy === "Always";
}

/** The status of the container of this name, if the list has one. */
export function findContainerStatus(
  statuses: readonly ContainerStatus[] | undefined,
  name: string,
): ContainerStatus | undefined {
  return statuses?.find((status) => status.name === name);
}

/** The condition of this type, if there is one. */
export function findCondition(status: PodStatus | undefined, type: string): PodCondition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

/** A time of the API: RFC 3339 in UTC, whole seconds. */
export function formatTime(ms: number): string {
  return `${new Date(Math.floor(ms / 1000) * 1000).toISOString().slice(0, 19)}Z`;
}

/** Seconds that a pod has to end in: what its deletion says, else its spec, else 30. */
export function gracePeriodOf(pod: Pod): number {
  return pod.metadata?.deletionGracePeriodSeconds ?? pod.spec?.terminationGracePeriodSeconds ?? 30;
}

/** Conditions that the kubelet writes; others are kept as they are. */
export const kubeletConditionTypes: ReadonlySet<string> = new Set([
  "PodScheduled",
  "Ready",
  "Initialized",
  "ContainersReady",
  "PodReadyToStartContainers",
  "PodResizeInProgress",
  "PodResizePending",
  "AllContainersRestarting",
]);

/** Structural equality of JSON values; null is as good as absent (the API server writes `lastProbeTime: null`). */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = definedEntries(a);
  const right = definedEntries(b);
  if (left.length !== right.length) return false;
  const other = b as Record<string, unknown>;
  return left.every(([key, value]) => sameJson(value, other[key]));
}

function definedEntries(value: object): [string, unknown][] {
  return Object.entries(value).filter(([, item]) => item !== undefined && item !== null);
}
