/**
 * The container runtime contract: sandboxes, containers and images, one by one, as the CRI has them. `pod-engine.ts` makes whole pods of it: init order, restarts,
 * probes, hooks, volumes, status. Implementations (`providers/containers`, `providers/isolates`, `providers/cri`) know nothing of the API server: all that a container needs
 * (environment, mounts, files) is resolved before it reaches them. Every implementation passes `containerRuntimeSuite` in container-runtime-suite.ts.
 */
import type { Duplex } from "node:stream";
import type { ContainerUsage, InterfaceUsage, PodRef, ProcessStreams } from "./provider.ts";

/** What the containers of a pod share. */
export type SandboxSpec = {
  readonly pod: PodRef;
  readonly hostname: string;
  readonly domainname?: string;
  readonly hostNetwork: boolean;
  readonly hostPID: boolean;
  readonly hostIPC: boolean;
  readonly shareProcessNamespace: boolean;
  /** Kernel settings of the sandbox's namespaces: { "net.ipv4.ip_unprivileged_port_start": "0" }. */
  readonly sysctls: Readonly<Record<string, string>>;
  readonly portMappings: readonly {
    readonly containerPort: number;
    readonly hostPort: number;
    readonly hostIP: string;
    readonly protocol: "TCP" | "UDP" | "SCTP";
  }[];
  /** Limits for the whole pod: the cgroup above its containers'. */
  readonly resources: LinuxResources;
  /** Name of the cgroup parent's class. */
  readonly qosClass: "Guaranteed" | "Burstable" | "BestEffort";
  /** The account that the pod acts for, in its own namespace: runtimes that let pods share anything share it within one account only. */
  readonly serviceAccountName: string;
  /** Handler that the pod's RuntimeClass names; "" is the default. Unknown ones are refused with CreatePodSandboxError. */
  readonly runtimeClass: string;
};

/** A sandbox that exists. `ready` is false when its namespaces are gone (after a reboot, say): it must be removed and made again. */
export type Sandbox = {
  readonly pod: PodRef;
  readonly ready: boolean;
  readonly ips: readonly string[];
  readonly createdMs: number;
};

/** Bounds of a cgroup. Absent: unbounded or the kernel's default. */
export type LinuxResources = {
  readonly cpuShares?: number;
  readonly cpuQuotaMicroseconds?: number;
  readonly cpuPeriodMicroseconds?: number;
  readonly memoryLimitBytes?: number;
  readonly memoryRequestBytes?: number;
  readonly pidsLimit?: number;
  readonly hugepageLimits?: Readonly<Record<string, number>>;
};

/** A folder or file of this machine that appears in the container. */
export type ContainerMount = {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly readOnly: boolean;
  readonly propagation: "None" | "HostToContainer" | "Bidirectional";
};

/** Who the process is and what it may do. */
export type ContainerSecurity = {
  readonly privileged: boolean;
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  /** Refuse to start as uid 0 (after the image's own user was looked up). */
  readonly runAsNonRoot: boolean;
  readonly supplementalGroups: readonly number[];
  /** Strict: only `supplementalGroups`; Merge: also those of the image's /etc/group. */
  readonly supplementalGroupsPolicy: "Merge" | "Strict";
  readonly readOnlyRootFilesystem: boolean;
  readonly allowPrivilegeEscalation: boolean;
  readonly addCapabilities: readonly string[];
  readonly dropCapabilities: readonly string[];
  readonly seccomp:
    | { readonly type: "RuntimeDefault" | "Unconfined" }
    | { readonly type: "Localhost"; readonly path: string };
  readonly procMount: "Default" | "Unmasked";
};

/** One container to be made, completely resolved. */
export type ContainerSpec = {
  readonly pod: PodRef;
  readonly name: string;
  /** How often this container was made before: 0 for the first. Part of its identity. */
  readonly attempt: number;
  /** Image id as {@link ContainerRuntime.ensureImage} gave it. */
  readonly imageId: string;
  /** Entry point and arguments; empty means the image's. Variables are expanded already. */
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir?: string;
  /** In order; the image's own variables come first and are overridden by these. */
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly mounts: readonly ContainerMount[];
  /** TCP ports that it is said to listen at, in order. For runtimes that listen on the container's behalf. */
  readonly ports?: readonly number[];
  readonly devices: readonly {
    readonly hostPath: string;
    readonly containerPath: string;
    readonly permissions: string;
  }[];
  readonly security: ContainerSecurity;
  readonly resources: LinuxResources;
  readonly oomScoreAdj: number;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  /** Absolute path of the log file, in CRI format. Its folder exists. */
  readonly logPath: string;
  /** Container whose process namespace to join (ephemeral containers with targetContainerName). */
  readonly targetContainer?: string;
  /** Signal that stops it; default the image's, else SIGTERM. */
  readonly stopSignal?: string;
  /** Probes and hooks of its that run commands in it, by field: "livenessProbe", "lifecycle.preStop". For runtimes that cannot. */
  readonly execs?: readonly string[];
};

/** How a container is. Times are ms since 1970. `spec` is what it was made from, kept on disk so that a restarted agent knows it. */
export type ContainerState = {
  readonly id: string;
  readonly pod: PodRef;
  readonly name: string;
  readonly attempt: number;
  readonly spec: ContainerSpec;
  readonly phase: "created" | "running" | "exited";
  readonly createdMs: number;
  readonly startedMs?: number;
  readonly finishedMs?: number;
  readonly exitCode?: number;
  readonly oomKilled?: boolean;
  /** Why it ended, in one word, where the exit code does not say it: "StartError". */
  readonly reason?: string;
  /** Why it ended, where more is known than the exit code: "the monitor of the container died". */
  readonly message?: string;
};

/** How a pull may prove who it is. `auth` entries are tried in order of how well their registry matches. */
export type RegistryCredential = {
  readonly registry: string;
  readonly username?: string;
  readonly password?: string;
  readonly identityToken?: string;
  /** The Secret that it comes from. */
  readonly secret?: { readonly uid: string; readonly namespace: string; readonly name: string };
};

/** An image that is here. */
export type ImageInfo = {
  /** "sha256:…" of its configuration. */
  readonly id: string;
  readonly tags: readonly string[];
  readonly digests: readonly string[];
  readonly sizeBytes: number;
  /** User as the image names it: "1000", "www-data", "0:0", "". */
  readonly user: string;
  /** True when somebody brought it to this machine by hand; such an image stands in for its registry while that is out of reach. */
  readonly isLoaded?: boolean;
  /** True of one that every node has by itself: no registry knows it, and it is never pulled. */
  readonly isBuiltIn?: boolean;
};

/** An image that was just pulled. */
export type PulledImage = ImageInfo & {
  /** What opened the registry, as it was given; absent where the registry asked for nothing. */
  readonly credential?: RegistryCredential;
};

/** Why an image could not be had. Reasons as the kubelet's; RegistryUnavailable and SignatureValidationFailed only where a runtime tells them apart, as CRI-O does. */
export class ImageError extends Error {
  readonly kind = "ImageError";
  readonly reason:
    | "ErrImagePull"
    | "InvalidImageName"
    | "ErrImageNeverPull"
    | "RegistryUnavailable"
    | "SignatureValidationFailed";
  /** Nobody answered who could have given the image. */
  readonly isUnreachable: boolean;
  constructor(
    reason: ImageError["reason"],
    message: string,
    options?: ErrorOptions & { readonly isUnreachable?: boolean },
  ) {
    super(message, options);
    this.isUnreachable = options?.isUnreachable ?? reason === "RegistryUnavailable";
    this.reason = reason;
  }
}

/** A container could not be made or started. Reasons as the kubelet's: CreateContainerError, RunContainerError, CreateContainerConfigError. */
export class ContainerError extends Error {
  readonly kind = "ContainerError";
  readonly reason:
    | "CreateContainerError"
    | "RunContainerError"
    | "CreateContainerConfigError"
    | "CreatePodSandboxError";
  /** The container that was made, where only its process could not be started: it has exited, with the code 128 and the reason StartError, and is there until it is removed. */
  readonly container: ContainerState | undefined;
  constructor(
    reason: ContainerError["reason"],
    message: string,
    options?: ErrorOptions & { readonly container?: ContainerState },
  ) {
    super(message, options);
    this.reason = reason;
    this.container = options?.container;
  }
}

/** What the running containers of a pod use; `network` where the pod has devices of its own. */
export type RuntimePodUsage = {
  readonly pod: PodRef;
  readonly containers: readonly ContainerUsage[];
  readonly network?: readonly InterfaceUsage[];
};

/** Sandboxes and containers on this machine. */
export interface ContainerRuntime {
  /** For node.status.nodeInfo: { name: "crun", version: "1.8.1" }. */
  version(): Promise<{ readonly name: string; readonly version: string }>;
  /** Makes the pod's sandbox with an IP, or gives the one that is there. Throws {@link ContainerError}. */
  ensureSandbox(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox>;
  /** Removes the sandbox with all its containers, killing them. Unknown is success. */
  removeSandbox(pod: PodRef): Promise<void>;
  /** All sandboxes, those of before a restart of the agent included. */
  listSandboxes(): Promise<readonly Sandbox[]>;
  /** Makes and starts a container in its pod's sandbox. Resolves when its process runs. Throws {@link ContainerError}. */
  startContainer(spec: ContainerSpec, signal: AbortSignal): Promise<ContainerState>;
  /** Sends the stop signal, and after `gracePeriodSeconds` SIGKILL. Resolves when it ended. Called again with a shorter grace, the shorter counts. Unknown is success. */
  stopContainer(id: string, gracePeriodSeconds: number): Promise<void>;
  /** Removes an ended container's leftovers (root file system, records; not its log). Unknown is success. */
  removeContainer(id: string): Promise<void>;
  /** All containers, the ended ones and those of before a restart of the agent included. */
  listContainers(): Promise<readonly ContainerState[]>;
  /** Registers the one listener for containers that end (or whose state is found to be another). */
  onChange(listener: (state: ContainerState) => void): void;
  /** New bounds for all of a pod's containers together: the cgroup above them. Unknown is success. */
  updateSandboxResources(pod: PodRef, resources: LinuxResources): Promise<void>;
  /** New bounds for a running container. */
  updateResources(id: string, resources: LinuxResources): Promise<void>;
  /** Runs a command in a running container; gives its exit code. Aborting kills the command and what it started. */
  exec(id: string, command: readonly string[], streams: ProcessStreams, signal: AbortSignal): Promise<number>;
  /** Joins the main process's streams until it ends or the signal aborts. */
  attach(id: string, streams: ProcessStreams, signal: AbortSignal): Promise<void>;
  /** Connects to a TCP port on the sandbox's own 127.0.0.1. */
  portForward(pod: PodRef, port: number, signal: AbortSignal): Promise<Duplex>;
  /** Usage of all running containers. */
  usage(): Promise<readonly RuntimePodUsage[]>;
  /** Asks conmon (or its like) to reopen the log after it was renamed away. */
  reopenLog(id: string): Promise<void>;
  /** Whether containers of this handler cannot see what every pod is given at this path, and do not miss it: such volumes are not made. Default: all is seen. */
  hidesMount?(runtimeClass: string, containerPath: string): boolean;
}

/** Images on this machine; an extra of the runtime so that several runtimes can share one store. */
export interface ImageService {
  /** The image, if it is here. Throws {@link ImageError} with InvalidImageName for text that names none. */
  findImage(reference: string): Promise<ImageInfo | undefined>;
  /** Pulls it. Two pulls of one reference share the work. Throws {@link ImageError}. */
  pullImage(reference: string, credentials: readonly RegistryCredential[], signal: AbortSignal): Promise<PulledImage>;
  /** All images that are here. */
  listImages(): Promise<readonly ImageInfo[]>;
  /** Removes an image that no container uses. Unknown is success. */
  removeImage(reference: string): Promise<void>;
}

/** An image that is to appear as a folder. `key` names the volume for good; the image stays as long as `target` exists. */
export type ImageVolume = { readonly imageId: string; readonly target: string; readonly key: string };

/** Puts the contents of images at folders. An extra of runtimes that can. */
export interface ImageVolumes {
  /** Makes the image's file system appear at the target, which is there and empty. Throws ImageError. */
  mountImage(volume: ImageVolume): Promise<void>;
}

/** Where containers write to. An extra of runtimes whose containers have a root file system on the node's disk. */
export interface ContainerFiles {
  /** Folder that holds what the container has written to its own root; undefined when it is gone. */
  writtenFolder(id: string): string | undefined;
}
