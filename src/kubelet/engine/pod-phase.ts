/**
 * The phase of a pod from the states of its containers. As getPhase in pkg/kubelet/kubelet_pods.go, v1.36.
 */
import type { Container, ContainerStatus, Pod } from "#api/generated/types/core-v1.ts";
import { findContainerStatus, isRestartableInit } from "#kubelet/pod-object.ts";
import { shouldRestart } from "./restart-policy.ts";

type Fate = "missing" | "running" | "waiting" | "stopped";

/** `isTerminal`: nothing will be started again. `hasInitialized`: main containers have been started before. */
export function podPhase(
  pod: Pod,
  statuses: readonly ContainerStatus[],
  facts: { readonly isTerminal: boolean; readonly hasInitialized: boolean },
): string {
  const inits = pod.spec?.initContainers ?? [];
  const regular = inits.filter((container) => !isRestartableInit(container)).map((it) => initFate(pod, it, statuses));
  if (regular.includes("failed")) return "Failed";
  const sidecars = inits.filter(isRestartableInit).map((it) => sidecarFate(it, statuses));
  const main = (pod.spec?.containers ?? []).map((it) => mainFate(pod, it, statuses));
  const isInitializing = regular.includes("pending") || (sidecars.some((it) => it.isPending) && !facts.hasInitialized);
  const fates: readonly Fate[] = [...sidecars.map((it) => it.fate), ...main.map((it) => it.fate)];
  if (isInitializing || fates.includes("waiting")) return "Pending";
  if (fates.includes("missing")) return "Pending";
  if (fates.includes("running")) return "Running";
  const stopped = main.filter((it) => it.fate === "stopped");
  if (stopped.length === 0) return "Pending";
  const isOver = facts.isTerminal || stopped.every((it) => !it.restarts);
  if (!isOver) return "Running";
  return stopped.every((it) => it.succeeded) ? "Succeeded" : "Failed";
}

function initFate(
  pod: Pod,
  container: Container,
  statuses: readonly ContainerStatus[],
): "pending" | "done" | "failed" | "retrying" {
  const status = findContainerStatus(statuses, container.name);
  const ended = status?.state?.terminated ?? (status?.state?.waiting ? status.lastState?.terminated : undefined);
  if (!ended) return "pending";
  if (ended.exitCode === 0) return "done";
  return isBegunAnew(status) || shouldRestart(pod, container, ended.exitCode) ? "retrying" : "failed";
}

function sidecarFate(
  container: Container,
  statuses: readonly ContainerStatus[],
): { readonly fate: Fate; readonly isPending: boolean } {
  const status = findContainerStatus(statuses, container.name);
  if (!status?.state) return { fate: "missing", isPending: status !== undefined };
  if (status.state.running) return { fate: "running", isPending: status.started !== true };
  if (status.state.terminated || status.lastState?.terminated) return { fate: "stopped", isPending: false };
  return { fate: "waiting", isPending: true };
}

function mainFate(
  pod: Pod,
  container: Container,
  statuses: readonly ContainerStatus[],
): { readonly fate: Fate; readonly restarts: boolean; readonly succeeded: boolean } {
  const status = findContainerStatus(statuses, container.name);
  if (!status?.state) return { fate: "missing", restarts: true, succeeded: false };
  if (status.state.running) return { fate: "running", restarts: true, succeeded: false };
  const ended = status.state.terminated ?? status.lastState?.terminated;
  if (!ended) return { fate: "waiting", restarts: true, succeeded: false };
  const succeeded = status.state.terminated?.exitCode === 0;
  return { fate: "stopped", restarts: isBegunAnew(status) || shouldRestart(pod, container, ended.exitCode), succeeded };
}

/** Stopped only because the whole pod is begun anew. */
function isBegunAnew(status: ContainerStatus | undefined): boolean {
  return status?.state?.waiting?.reason === "RestartingAllContainers";
}
