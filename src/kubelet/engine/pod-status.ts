/**
 * The whole status of a pod. Pure: from the engine's view of the pod to what its owner reads. Phases never leave Succeeded or Failed.
 */
import type { PodStatus } from "#api/generated/types/core-v1.ts";
import { findContainer } from "./pod-view.ts";
import type { PodView } from "./pod-view.ts";
import { containerStatus } from "./container-status.ts";
import { podConditions } from "./pod-conditions.ts";
import { podPhase } from "./pod-phase.ts";
import { hasInitialized } from "./pod-actions.ts";
import { qosClassOf } from "#kubelet/resources/qos.ts";

/** `isTerminal`: all containers have stopped and none will be started again. */
export function podStatus(
  view: PodView,
  facts: { readonly runtimeName: string; readonly hostIPs: readonly string[]; readonly isTerminal: boolean },
): PodStatus {
  const { pod } = view;
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? {};
  const inits = initContainers.map((it) => containerStatus(view, it, "init", facts.runtimeName));
  const mains = containers.map((it) => containerStatus(view, it, "main", facts.runtimeName));
  const debugs = ephemeralContainers.map((it) =>
    containerStatus(view, findContainer(pod, it.name) ?? it, "ephemeral", facts.runtimeName),
  );
  const all = [...inits, ...mains];
  const computed = podPhase(pod, all, { isTerminal: facts.isTerminal, hasInitialized: hasInitialized(view) });
  const phase = endedPhase(view, facts.isTerminal, computed);
  const resizing = view.isResizing
    ? [
        {
          type: "PodResizeInProgress",
          status: "True",
          ...(pod.metadata?.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
        },
      ]
    : [];
  const ips = pod.spec?.hostNetwork ? facts.hostIPs.slice(0, 1) : view.podIPs;
  return {
    phase,
    ...(facts.isTerminal && view.verdict !== undefined ? view.verdict : {}),
    ...(pod.metadata?.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
    conditions: [
      ...resizing,
      ...podConditions({ pod, statuses: all, phase, hasSandbox: !facts.isTerminal && view.sandbox?.ready === true }),
    ],
    ...(ips[0] === undefined ? {} : { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) }),
    ...(inits.length === 0 ? {} : { initContainerStatuses: inits }),
    containerStatuses: mains,
    ...(debugs.length === 0 ? {} : { ephemeralContainerStatuses: debugs }),
    qosClass: qosClassOf(pod),
  };
}

// A pod that the node ended has failed, but only once nothing of it runs any more.
function endedPhase(view: PodView, isTerminal: boolean, computed: string): string {
  if (view.verdict !== undefined) return isTerminal ? "Failed" : computed === "Succeeded" ? "Running" : computed;
  if (isTerminal && computed !== "Succeeded") return "Failed";
  return computed;
}
