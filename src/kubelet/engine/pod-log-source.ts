/**
 * Which log file answers a request for a container's log, or why none does. Messages as validateContainerLogStatus in pkg/kubelet/kubelet_pods.go, v1.36.
 */
import type { PodStatus } from "#api/generated/types/core-v1.ts";
import { badRequest } from "#apimachinery/status-error.ts";
import type { ContainerState } from "#kubelet/container-runtime.ts";
import { findContainerStatus } from "#kubelet/pod-object.ts";

const pullWords: Readonly<Record<string, string>> = {
  ErrImagePull: "image can't be pulled",
  ImagePullBackOff: "trying and failing to pull image",
};

/** The instance of a container whose log is meant: its attempt, and its state while the runtime knows it. */
export type LoggedContainer = { readonly attempt: number; readonly state: ContainerState | undefined };

/** Finds it. `find` gives the newest instance of a container, or the one before it. Throws BadRequest. */
export function containerForLogs(
  podName: string,
  container: string,
  previous: boolean,
  status: PodStatus,
  find: (previous: boolean) => ContainerState | undefined,
): LoggedContainer {
  const where = `container ${JSON.stringify(container)} in pod ${JSON.stringify(podName)}`;
  const all = [status.containerStatuses, status.initContainerStatuses, status.ephemeralContainerStatuses];
  const found = all.map((list) => findContainerStatus(list, container)).find((it) => it !== undefined);
  if (!found) throw badRequest(`${where} is not available`);
  const { state: now, lastState: last, restartCount } = found;
  if (previous) {
    if (!last?.terminated?.containerID) throw badRequest(`previous terminated ${where} not found`);
    // While it waits to be started again, the newest instance is the one that ended.
    const isNewest = now?.waiting !== undefined;
    return { attempt: isNewest ? restartCount : restartCount - 1, state: find(!isNewest) };
  }
  if (now?.running || now?.terminated?.containerID || last?.terminated?.containerID) {
    return { attempt: restartCount, state: find(false) };
  }
  if (now?.terminated || last?.terminated) throw badRequest(`${where} is terminated`);
  const reason = now?.waiting?.reason;
  if (reason === undefined) throw badRequest(`${where} is waiting to start - no logs yet`);
  throw badRequest(`${where} is waiting to start: ${pullWords[reason] ?? reason}`);
}
