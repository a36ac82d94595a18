/**
 * Statuses for pods that no provider speaks for: refused by the node, or gone before they could say how they ended.
 */
import type { ContainerStatus, Pod, PodStatus } from "#api/generated/types/core-v1.ts";
import type { Refusal } from "./pod-admission.ts";
import { isTerminalPhase } from "./pod-object.ts";

/** Failed, with the reason why this node does not take the pod. */
export function rejectedStatus(pod: Pod, refusal: Refusal): PodStatus {
  return {
    phase: "Failed",
    reason: refusal.reason,
    message: `Pod was rejected: ${refusal.message}`,
    ...(pod.metadata?.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
  };
}

/** The last status of a pod whose containers are all gone: a terminal phase, and no container that seems to live. */
export function terminatedStatus(pod: Pod, last: PodStatus | undefined): PodStatus {
  const status = last ?? pod.status ?? {};
  const hasRun =
    status.phase === "Running" || (status.containerStatuses ?? []).some((it) => it.state?.running !== undefined);
  return {
    ...status,
    phase: isTerminalPhase(status.phase) ? (status.phase as string) : "Failed",
    ...(status.containerStatuses === undefined
      ? {}
      : { containerStatuses: hasRun ? status.containerStatuses.map(ended) : status.containerStatuses }),
    ...(status.initContainerStatuses === undefined
      ? {}
      : { initContainerStatuses: status.initContainerStatuses.map((it) => (it.state?.running ? ended(it) : it)) }),
    ...(pod.metadata?.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
  };
}

function ended(status: ContainerStatus): ContainerStatus {
  if (status.state?.terminated !== undefined) return status;
  const terminated = {
    reason: "ContainerStatusUnknown",
    message: "The container could not be located when the pod was terminated",
    exitCode: 137,
  };
  return { ...status, ready: false, started: false, state: { terminated } };
}
