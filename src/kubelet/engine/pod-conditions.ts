/**
 * The conditions that the kubelet writes on pods. Reasons and messages as pkg/kubelet/status/generate.go, v1.36. Transition times are added by the status writer.
 */
import type { Container, ContainerStatus, Pod, PodCondition } from "#api/generated/types/core-v1.ts";
import { findContainerStatus, isRestartableInit } from "#kubelet/pod-object.ts";

/** What the conditions are made from. */
export type ConditionFacts = {
  readonly pod: Pod;
  /** Of init and main containers. */
  readonly statuses: readonly ContainerStatus[];
  readonly phase: string;
  readonly hasSandbox: boolean;
};

/** All of the kubelet's conditions, with observedGeneration. */
export function podConditions(facts: ConditionFacts): readonly PodCondition[] {
  const generation = facts.pod.metadata?.generation;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  const containersReady = containersReadyCondition(facts);
  return [
    { type: "PodReadyToStartContainers", status: facts.hasSandbox ? "True" : "False" },
    initializedCondition(facts),
    readyCondition(facts.pod, containersReady),
    { type: "ContainersReady", ...containersReady },
    { type: "PodScheduled", status: "True" },
  ].map((condition) => ({ ...condition, ...observed }));
}

type Verdict = { readonly status: string; readonly reason?: string; readonly message?: string };

function containersReadyCondition({ pod, statuses, phase }: ConditionFacts): Verdict {
  const watched = [...(pod.spec?.initContainers ?? []).filter(isRestartableInit), ...(pod.spec?.containers ?? [])];
  const unknown = namesWhere(watched, (it) => findContainerStatus(statuses, it.name) === undefined);
  if (phase === "Succeeded" && unknown.length === 0) return { status: "False", reason: "PodCompleted" };
  if (phase === "Failed") return { status: "False", reason: "PodFailed" };
  const unready = namesWhere(watched, (it) => findContainerStatus(statuses, it.name)?.ready === false);
  const message = listNames([
    ["containers with unknown status", unknown],
    ["containers with unready status", unready],
  ]);
  return message === "" ? { status: "True" } : { status: "False", reason: "ContainersNotReady", message };
}

function readyCondition(pod: Pod, containersReady: Verdict): PodCondition {
  if (containersReady.status !== "True") return { type: "Ready", ...containersReady };
  const missing = (pod.spec?.readinessGates ?? []).flatMap(({ conditionType }) => {
    const condition = pod.status?.conditions?.find((it) => it.type === conditionType);
    const name = JSON.stringify(conditionType);
    if (!condition) return [`corresponding condition of pod readiness gate ${name} does not exist.`];
    if (condition.status === "True") return [];
    return [`the status of pod readiness gate ${name} is not "True", but ${condition.status}`];
  });
  if (missing.length === 0) return { type: "Ready", status: "True" };
  return { type: "Ready", status: "False", reason: "ReadinessGatesNotReady", message: missing.join(", ") };
}

function initializedCondition({ pod, statuses, phase }: ConditionFacts): PodCondition {
  const type = "Initialized";
  const inits = pod.spec?.initContainers ?? [];
  const unknown = namesWhere(inits, (it) => findContainerStatus(statuses, it.name) === undefined);
  if (phase === "Succeeded" && unknown.length === 0) return { type, status: "True", reason: "PodCompleted" };
  const hasStarted = (pod.spec?.containers ?? []).some((it) => {
    const status = findContainerStatus(statuses, it.name);
    return (
      status?.state?.running !== undefined ||
      status?.state?.terminated !== undefined ||
      status?.lastState?.terminated !== undefined
    );
  });
  if (hasStarted) return { type, status: "True" };
  const incomplete = namesWhere(inits, (it) => {
    const status = findContainerStatus(statuses, it.name);
    if (!status) return false;
    return isRestartableInit(it) ? status.started !== true : !status.ready;
  });
  const message = listNames([
    ["containers with unknown status", unknown],
    ["containers with incomplete status", incomplete],
  ]);
  if (message === "") return { type, status: "True" };
  return { type, status: "False", reason: "ContainersNotInitialized", message };
}

function namesWhere(containers: readonly Container[], holds: (container: Container) => boolean): readonly string[] {
  return containers.filter(holds).map((container) => container.name);
}

function listNames(lists: readonly (readonly [string, readonly string[]])[]): string {
  return lists
    .filter(([, names]) => names.length > 0)
    .map(([what, names]) => `${what}: [${names.join(" ")}]`)
    .join(", ");
}
