/**
 * The status of one container, from what the runtime knows of its newest instance and the one before. As convertToAPIContainerStatuses in pkg/kubelet/kubelet_pods.go.
 */
import type {
  Container,
  ContainerStatus,
  ContainerState as ApiState,
  ResourceRequirements,
} from "#api/generated/types/core-v1.ts";
import type { ContainerState } from "#kubelet/container-runtime.ts";
import { formatTime, isRestartableInit } from "#kubelet/pod-object.ts";
import type { PodView } from "./pod-view.ts";
import { shouldRestart } from "./restart-policy.ts";

export type ContainerRole = "init" | "main" | "ephemeral";

/** Messages of all containers of a pod share 12 KiB in its status. */
const maxMessagesLength = 12 * 1024;

/** The status of `container`. `runtimeName` prefixes its id: "crun://…". */
export function containerStatus(
  view: PodView,
  container: Container,
  role: ContainerRole,
  runtimeName: string,
): ContainerStatus {
  const latest = view.latest(container.name);
  const before = view.before(container.name);
  if (!latest) return statusWithoutContainer(view, container, role, before);
  const states = statesOf(view, container, role, latest, runtimeName);
  const lastState = states.last ?? stateBefore(before, latest) ?? {};
  return {
    name: container.name,
    image: container.image ?? "",
    imageID: view.imageID(latest.id),
    containerID: `${runtimeName}://${latest.id}`,
    state: states.now,
    lastState,
    restartCount: latest.attempt,
    ...readiness(view, container, role, latest),
    ...resourcesOf(
      container,
      role,
      latest.phase === "running" ? view.resources(latest, container) : container.resources,
    ),
    ...volumeMountsOf(container),
  };
}

/** The last state of a container whose forerunner the runtime has forgotten: what the API knew of it. */
function stateBefore(before: ContainerStatus | undefined, latest: ContainerState): ApiState | undefined {
  if (!before?.containerID || before.containerID.endsWith(latest.id)) return before?.lastState;
  if (before.state?.terminated) return { terminated: before.state.terminated };
  return before.state?.running ? lostState : before.lastState;
}

function statesOf(
  view: PodView,
  container: Container,
  role: ContainerRole,
  latest: ContainerState,
  runtimeName: string,
): { readonly now: ApiState; readonly last: ApiState | undefined } {
  const previous = view.previous(container.name);
  const last = previous ? { terminated: terminated(view, previous, runtimeName) } : undefined;
  if (latest.phase === "running")
    return { now: { running: { startedAt: formatTime(latest.startedMs ?? latest.createdMs) } }, last };
  if (latest.phase === "created") return { now: { waiting: { reason: "ContainerCreating" } }, last };
  const ended = { terminated: terminated(view, latest, runtimeName) };
  if (latest.createdMs < view.epochMs && !view.isEnding) return { now: { waiting: restartingAll }, last: ended };
  const waiting = view.waiting(container.name);
  const restarts =
    !view.isEnding &&
    role !== "ephemeral" &&
    (shouldRestart(view.pod, container, latest.exitCode ?? 137) || (role === "init" && isRestartableInit(container)));
  return waiting && restarts ? { now: { waiting }, last: ended } : { now: ended, last };
}

function terminated(view: PodView, state: ContainerState, runtimeName: string): NonNullable<ApiState["terminated"]> {
  const exitCode = state.exitCode ?? 137;
  const message = terminationMessage(view, state);
  const startedMs = state.startedMs ?? state.createdMs;
  return {
    exitCode,
    reason: state.reason ?? (state.oomKilled ? "OOMKilled" : exitCode === 0 ? "Completed" : "Error"),
    ...(message === "" ? {} : { message }),
    startedAt: formatTime(startedMs),
    finishedAt: formatTime(state.finishedMs ?? startedMs),
    containerID: `${runtimeName}://${state.id}`,
  };
}

function terminationMessage(view: PodView, state: ContainerState): string {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = view.pod.spec ?? {};
  const share = Math.floor(
    maxMessagesLength / Math.max(1, initContainers.length + containers.length + ephemeralContainers.length),
  );
  const parts = [state.message, view.terminationMessage(state.id)].filter((part) => part !== undefined && part !== "");
  return parts.join(": ").slice(0, share);
}

function statusWithoutContainer(
  view: PodView,
  container: Container,
  role: ContainerRole,
  before: ContainerStatus | undefined,
): ContainerStatus {
  // Ended before the agent started, and the runtime has forgotten it: what the API knows stays.
  if (before?.state?.terminated && view.waiting(container.name) === undefined) return before;
  const reason = (view.pod.spec?.initContainers ?? []).length > 0 ? "PodInitializing" : "ContainerCreating";
  const lost = before?.state?.running ? lostState : undefined;
  const last = before?.state?.terminated ? { terminated: before.state.terminated } : before?.lastState;
  return {
    name: container.name,
    image: container.image ?? "",
    imageID: "",
    state: { waiting: view.waiting(container.name) ?? { reason } },
    lastState: lost ?? last ?? {},
    restartCount: (before?.restartCount ?? 0) + (lost ? 1 : 0),
    ready: false,
    started: false,
    ...volumeMountsOf(container),
    ...resourcesOf(container, role, container.resources),
  };
}

const restartingAll = {
  reason: "RestartingAllContainers",
  message: "The container is removed because RestartAllContainers in place",
};

const lostState: ApiState = {
  terminated: {
    reason: "ContainerStatusUnknown",
    message: "The container could not be located when the pod was deleted.  The container used to be Running",
    exitCode: 137,
  },
};

function readiness(
  view: PodView,
  container: Container,
  role: ContainerRole,
  latest: ContainerState,
): { readonly ready: boolean; readonly started: boolean } {
  if (role === "init" && !isRestartableInit(container)) {
    return { ready: latest.phase === "exited" && latest.exitCode === 0, started: latest.phase === "running" };
  }
  if (role === "ephemeral") return { ready: false, started: latest.phase === "running" };
  if (latest.phase !== "running") return { ready: false, started: false };
  const probes = view.probes(latest.id);
  const started = probes.started === true && !view.isStarting(container.name);
  return { ready: started && probes.ready, started };
}

function resourcesOf(
  container: Container,
  role: ContainerRole,
  actual: ResourceRequirements | undefined,
): Partial<ContainerStatus> {
  if (role === "ephemeral") return {};
  const { requests } = container.resources ?? {};
  return {
    resources: actual ?? {},
    ...(requests === undefined ? {} : { allocatedResources: requests }),
  };
}

function volumeMountsOf(container: Container): Partial<ContainerStatus> {
  const mounts = container.volumeMounts ?? [];
  if (mounts.length === 0) return {};
  return {
    volumeMounts: mounts.map(({ name, mountPath, readOnly }) => ({
      name,
      mountPath,
      ...(readOnly ? { readOnly, recursiveReadOnly: "Disabled" } : {}),
    })),
  };
}
