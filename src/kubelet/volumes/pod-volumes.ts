/**
 * What the engine asks of volumes: folders on the node that appear in containers. `volume-manager.ts` is the implementation.
 */
import type { Container, Pod } from "#api/generated/types/core-v1.ts";
import type { ContainerMount } from "#kubelet/container-runtime.ts";
import type { PodRef } from "#kubelet/provider.ts";

/** A volume could not be made. `message` is complete: `MountVolume.SetUp failed for volume "x" : …`. */
export class VolumeError extends Error {
  readonly kind = "VolumeError";
  /** Event reason: FailedMount, FailedAttachVolume. */
  readonly reason: string;
  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** Volumes of the pods on this node. */
export interface PodVolumes {
  /** Makes all volumes of the pod, or what is missing of them, and renews those whose contents changed. Throws {@link VolumeError} for the first that fails, after trying all. */
  mount(pod: Pod, signal: AbortSignal): Promise<void>;
  /**
   * The mounts of one container, sub-paths resolved. `lookup` expands subPathExpr. Throws ContainerError CreateContainerConfigError.
   * Called after {@link mount}; called anew for each attempt.
   */
  containerMounts(
    pod: Pod,
    container: Container,
    lookup: (name: string) => string | undefined,
  ): Promise<readonly ContainerMount[]>;
  /** Text of a file in a mounted volume. Links that lead out of the volume are refused. */
  readFile(pod: Pod, volumeName: string, path: string): Promise<string>;
  /** Takes everything of the pod away: mounts, then folders. Unknown is success. */
  unmount(ref: PodRef): Promise<void>;
}
