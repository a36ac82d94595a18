/**
 * What all workers of the engine share.
 */
import type { PodStatus } from "#api/generated/types/core-v1.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ContainerRuntime } from "#kubelet/container-runtime.ts";
import type { KubeletEvents } from "#kubelet/events.ts";
import type { EndedLogs } from "#kubelet/logs/ended-logs.ts";
import type { PodObjects } from "#kubelet/pod-objects.ts";
import type { ProbeMetrics } from "#kubelet/probes/probe-metrics.ts";
import type { PodDrain } from "#kubelet/pod-drain.ts";
import type { PodRef } from "#kubelet/provider.ts";
import type { PodVolumes } from "#kubelet/volumes/pod-volumes.ts";
import type { Backoff } from "./backoff.ts";
import type { ImagePuller } from "./image-puller.ts";
import type { KubeletFolders } from "./pod-folders.ts";

/** What pods may know of the node that they run on. */
export type EngineNode = {
  readonly hostIPs: readonly string[];
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly memoryBytes: number;
  /** The node's allocatable quantities, as they are now. */
  readonly allocatable: () => Readonly<Record<string, string>>;
  /** Most processes that one pod may have; undefined is unbounded. */
  readonly pidsLimit: number | undefined;
  /** The node's own resolver configuration. Default /etc/resolv.conf. */
  readonly resolvConf: string;
  /** Folder of seccomp profiles that pods may name. */
  readonly seccompFolder: string;
};

export type EngineParts = {
  readonly runtime: ContainerRuntime;
  readonly runtimeName: string;
  readonly images: ImagePuller;
  readonly objects: PodObjects;
  readonly volumes: PodVolumes;
  readonly events: KubeletEvents;
  readonly folders: KubeletFolders;
  readonly node: EngineNode;
  readonly probeMetrics: ProbeMetrics;
  readonly crashBackoff: Backoff;
  /** Asked before a pod's containers are told to end. */
  readonly drain?: PodDrain;
  /** Keeps the last lines of pods that go. */
  readonly endedLogs?: EndedLogs;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How images are named in status.imageID, by the runtime's image id. */
  readonly imageIDs: Map<string, string>;
  readonly onStatus: (ref: PodRef, status: PodStatus) => void;
};
