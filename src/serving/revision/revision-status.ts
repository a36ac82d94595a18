/**
 * What a Revision's Deployment, pods and PodAutoscaler mean for its conditions. As upstream's `revision_lifecycle.go` and `reconcile_resources.go` (v1.23).
 */
import type { Deployment } from "#api/generated/types/apps-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { type Conditions, findCondition, isFalse, isTrue, isUnknown } from "#knative/conditions.ts";
import type { PodAutoscaler, RevisionStatus } from "#serving/kinds.ts";
import type { Trouble } from "./pod-troubles.ts";

/** Conditions that decide whether a revision is ready. Active only informs: a revision at zero is ready. */
export const revisionDependents: readonly string[] = ["ContainerHealthy", "ResourcesAvailable"];

const deploying = "Deploying";
/**
 * Upstream asks the registry before it makes a Deployment. Where images run as they are named, the node is the first to know, and need not be waited for until the deadline. Later tries may go well.
 */
const pullFailures: readonly string[] = ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"];

/** Marks what the Deployment says of itself. */
export function markDeployment(conditions: Conditions, { status }: Deployment): void {
  const failure = status?.conditions?.find(({ type }) => type === "ReplicaFailure");
  const progress = status?.conditions?.find(({ type }) => type === "Progressing");
  const { reason = "", message = "" } = progress ?? {};
  if (failure?.status === "True")
    conditions.mark("ResourcesAvailable", isFalse(failure.reason ?? "", failure.message ?? ""));
  else if (progress === undefined) conditions.mark("ResourcesAvailable", isUnknown(deploying));
  else if (progress.status === "True") conditions.mark("ResourcesAvailable", isTrue);
  else if (progress.status === "False") conditions.mark("ResourcesAvailable", isFalse(reason, message));
  else conditions.mark("ResourcesAvailable", isUnknown(reason, message));
}

/** Waiting for nothing in particular. */
const plainWaits: readonly string[] = ["ContainerCreating", "PodInitializing"];

/** One of the pods where none is available, though some are wanted. */
export function awaitedPod({ spec, status }: Deployment, pods: readonly Pod[]): Pod | undefined {
  if (!spec?.replicas || status?.availableReplicas) return undefined;
  return pods.find(({ metadata }) => metadata?.deletionTimestamp === undefined) ?? pods[0];
}

/** True when the pod's status says itself why it is not ready. */
export function tellsWhy({ status }: Pod): boolean {
  const isUnschedulable = status?.conditions?.some(
    (condition) => condition.type === "PodScheduled" && condition.status === "False",
  );
  const hasEnded = status?.containerStatuses?.some(({ lastState }) => lastState?.terminated !== undefined);
  return isUnschedulable || hasEnded || troubleOf(status) !== undefined;
}

/** Marks why none of the pods is available, as far as the awaited one, or a `warning` about it, tells. */
export function markPods(
  conditions: Conditions,
  deployment: Deployment,
  { pod, warning }: { readonly pod: Pod | undefined; readonly warning: Trouble | undefined },
): void {
  if (pod !== undefined) markPod(conditions, deployment, { pod, warning });
  if ((deployment.status?.readyReplicas ?? 0) > 0) conditions.mark("ContainerHealthy", isTrue);
}

function troubleOf(status: Pod["status"]): Trouble | undefined {
  const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  for (const { state } of all) {
    const { reason = "", message = "" } = state?.waiting ?? {};
    if (reason !== "" && !plainWaits.includes(reason)) return { reason, message };
  }
  return undefined;
}

function markPod(
  conditions: Conditions,
  deployment: Deployment,
  { pod: { status }, warning }: { readonly pod: Pod; readonly warning: Trouble | undefined },
): void {
  const scheduled = status?.conditions?.find(({ type }) => type === "PodScheduled");
  if (scheduled?.status === "False")
    conditions.mark("ResourcesAvailable", isFalse(scheduled.reason ?? "", scheduled.message ?? ""));
  for (const container of status?.containerStatuses ?? []) {
    const ended = container.lastState?.terminated;
    const waiting = container.state?.waiting;
    if (ended !== undefined) {
      // Upstream leaves out that it was the memory.
      const parts = [ended.reason === "OOMKilled" ? "OOMKilled" : "", ended.message ?? ""];
      const message = parts.filter((part) => part !== "").join(": ");
      const why = ended.exitCode === 0 && message === "" ? "container exited with no error" : message;
      conditions.mark("ContainerHealthy", isFalse(`ExitCode${ended.exitCode}`, `Container failed with: ${why}`));
      return;
    }
    if (waiting !== undefined && pullFailures.includes(waiting.reason ?? "")) {
      const why = `Unable to fetch image ${JSON.stringify(container.image ?? "")}: ${waiting.message ?? ""}`;
      conditions.mark("ContainerHealthy", isFalse("ContainerMissing", why));
      return;
    }
  }
  const trouble = troubleOf(status) ?? warning;
  // Upstream is silent until the deadline; whoever waits wants to know what for.
  if (trouble !== undefined) conditions.mark("ContainerHealthy", isUnknown(trouble.reason, trouble.message));
  else if (conditions.is("ContainerHealthy", "Unknown")) conditions.mark("ContainerHealthy", isUnknown(deploying));
  if (trouble !== undefined && hasTimedOut(deployment))
    conditions.mark("ResourcesAvailable", isFalse(trouble.reason, trouble.message));
}

function hasTimedOut({ status }: Deployment): boolean {
  return (status?.conditions ?? []).some(
    (condition) =>
      condition.type === "Progressing" &&
      condition.status === "False" &&
      condition.reason === "ProgressDeadlineExceeded",
  );
}

/** Marks what the PodAutoscaler says, and gives the scale it tells of. */
export function markAutoscaler(
  conditions: Conditions,
  { status }: PodAutoscaler,
): Pick<RevisionStatus, "actualReplicas" | "desiredReplicas"> {
  const isBroken = revisionDependents.some((type) => conditions.is(type, "False"));
  const ready = findCondition(status?.conditions, "Ready");
  if (ready === undefined) {
    conditions.mark("Active", isUnknown(deploying));
    if (!isBroken) conditions.mark("ResourcesAvailable", isUnknown(deploying));
    return scaleOf(status);
  }
  const isInitialized = findCondition(status?.conditions, "ScaleTargetInitialized")?.status === "True";
  const hasService = (status?.serviceName ?? "") !== "";
  // Once it ran at its initial scale it is good, whatever its scale is now.
  if (isInitialized && !isBroken) for (const type of revisionDependents) conditions.mark(type, isTrue);
  if (conditions.is("ResourcesAvailable", "True") && !(hasService && isInitialized))
    conditions.mark("ResourcesAvailable", isUnknown(deploying));
  const services = findCondition(status?.conditions, "SKSReady");
  if (!isInitialized && services?.status === "False")
    conditions.mark("ResourcesAvailable", isFalse(services.reason ?? "", services.message ?? ""));
  const { reason = "", message = "" } = ready;
  if (ready.status === "True") conditions.mark("Active", isTrue);
  else if (ready.status === "Unknown") conditions.mark("Active", isUnknown(reason, message));
  else {
    if (!isInitialized && !isBroken && hasService)
      conditions.mark("ResourcesAvailable", isFalse("ProgressDeadlineExceeded", neverAchieved(conditions)));
    conditions.mark("Active", isFalse(reason, message));
  }
  return scaleOf(status);
}

/** With what was in the way at last. */
function neverAchieved(conditions: Conditions): string {
  const { reason = "", message = "" } = conditions.find("ContainerHealthy") ?? {};
  const why = message === "" ? "" : `: ${reason}: ${message}`;
  return `Initial scale was never achieved${why}`;
}

function scaleOf(status: PodAutoscaler["status"]): Pick<RevisionStatus, "actualReplicas" | "desiredReplicas"> {
  const { actualScale = -1, desiredScale = -1 } = status ?? {};
  return {
    ...(actualScale < 0 ? {} : { actualReplicas: actualScale }),
    ...(desiredScale < 0 ? {} : { desiredReplicas: desiredScale }),
  };
}
