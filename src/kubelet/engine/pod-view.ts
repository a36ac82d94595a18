/**
 * What the engine knows of one pod, as data that the deciding functions (pod-actions.ts, pod-status.ts) read. `PodWorker` owns and changes it.
 */
import type { Container, ContainerStatus, Pod, ResourceRequirements } from "#api/generated/types/core-v1.ts";
import type { ContainerState, Sandbox } from "#kubelet/container-runtime.ts";

/** Why a container does not run: reason and message of its waiting state. */
export type Waiting = { readonly reason: string; readonly message?: string };

/** What the probes say of a running container. */
export type ProbeView = {
  /** undefined: the startup probe has not decided. Without a startup probe always true. */
  readonly started: boolean | undefined;
  readonly startupFailed: boolean;
  readonly ready: boolean;
  readonly livenessFailed: boolean;
};

/** One pod as it is on this node. */
export type PodView = {
  readonly pod: Pod;
  readonly sandbox: Sandbox | undefined;
  /** Addresses: the sandbox's, or the last ones that it had. */
  readonly podIPs: readonly string[];
  /** The newest container of this name, whatever its state. */
  latest(name: string): ContainerState | undefined;
  /** The one before it. */
  previous(name: string): ContainerState | undefined;
  /** Probe results of the running container with this id. */
  probes(id: string): ProbeView;
  /** Why the container of this name could not be started just now. */
  waiting(name: string): Waiting | undefined;
  /** True while it is being started (image, creation, postStart hook). */
  isStarting(name: string): boolean;
  /** What it wrote to its termination message file. */
  terminationMessage(id: string): string | undefined;
  /** The image as status.imageID names it. */
  imageID(id: string): string;
  /** What the API said of it when the agent started: for containers that the runtime has forgotten. */
  before(name: string): ContainerStatus | undefined;
  /** Requests and limits that a running container has just now. */
  resources(state: ContainerState, container: Container): ResourceRequirements;
  /** Some container is being given other bounds. */
  readonly isResizing: boolean;
  /** Containers made before this do not count any more: the pod was begun anew in its sandbox. Ms since 1970, 0 for never. */
  readonly epochMs: number;
  /** All containers are to stay stopped: the pod was deleted, evicted or is past its deadline. */
  readonly isEnding: boolean;
  /** Reason and message of a pod that the node ended (DeadlineExceeded, Evicted). */
  readonly verdict: { readonly reason: string; readonly message: string } | undefined;
};

/** All containers of a pod: init, main and ephemeral. */
export function allContainers(pod: Pod): readonly Container[] {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? {};
  return [...initContainers, ...containers, ...(ephemeralContainers as readonly Container[])];
}

/** The container of this name in the pod's spec. */
export function findContainer(pod: Pod, name: string): Container | undefined {
  return allContainers(pod).find((container) => container.name === name);
}

/** True when the container was made in the sandbox that the pod has now, and since it was begun anew. */
export function isCurrent(state: ContainerState, { sandbox, epochMs }: PodView): boolean {
  return sandbox !== undefined && state.createdMs >= sandbox.createdMs && state.createdMs >= epochMs;
}
