/**
 * What the runtime is told: sandboxes and containers in the words of processes and the kernel. No Kubernetes: whoever asks puts what it wants to find again later into
 * `attachment`, which is kept on disk and handed back.
 */
import type { CgroupLimits } from "#linux/cgroups/cgroups.ts";

/** What a group of containers shares. */
export type SandboxSettings = {
  /** Unique for good; becomes part of file names. */
  readonly id: string;
  readonly hostname: string;
  readonly domainname?: string | undefined;
  readonly hostNetwork: boolean;
  readonly hostPid: boolean;
  readonly hostIpc: boolean;
  /** One process namespace for all containers, with a process of ours as its first. */
  readonly sharedPid: boolean;
  readonly sysctls: Readonly<Record<string, string>>;
  /** Control group above those of the containers. */
  readonly cgroupPath: string;
  readonly limits: CgroupLimits;
  readonly attachment: unknown;
};

/** A file or folder of the machine that appears in a container. */
export type MountSettings = {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly readOnly: boolean;
  readonly propagation: "None" | "HostToContainer" | "Bidirectional";
};

export type DeviceSettings = {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly permissions: string;
};

/** Who the process is and what it may do. */
export type SecuritySettings = {
  readonly privileged: boolean;
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly runAsNonRoot: boolean;
  readonly supplementalGroups: readonly number[];
  readonly supplementalGroupsPolicy: "Merge" | "Strict";
  readonly readOnlyRootFilesystem: boolean;
  readonly allowPrivilegeEscalation: boolean;
  /** Without "CAP_"; "ALL" is all that this machine gives. */
  readonly addCapabilities: readonly string[];
  readonly dropCapabilities: readonly string[];
  readonly seccomp:
    | { readonly type: "RuntimeDefault" | "Unconfined" }
    | { readonly type: "Localhost"; readonly path: string };
  readonly procMount: "Default" | "Unmasked";
};

/** One container. */
export type ContainerSettings = {
  readonly sandboxId: string;
  /** For people: shows up as conmon's name. */
  readonly name: string;
  /** For people, at the end of messages: `(pod: "web_default(uid)", container: main)`. */
  readonly about?: string;
  readonly imageId: string;
  /** The root is an empty folder of ours instead of the image's layers, read-only, with nothing in it but `mounts`: no /proc, /dev or /sys. For programs of ours that need nothing. */
  readonly hasBareRoot?: boolean;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir?: string;
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly mounts: readonly MountSettings[];
  readonly devices: readonly DeviceSettings[];
  readonly security: SecuritySettings;
  readonly limits: CgroupLimits;
  readonly oomScoreAdj: number;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly logPath: string;
  /** Id of the container whose process namespace is joined. */
  readonly targetContainer?: string | undefined;
  readonly stopSignal?: string;
  readonly attachment: unknown;
};

/** What a process that was started ahead becomes when it is needed: the rest of its settings stays as it was made. */
export type ContainerAssignment = Pick<ContainerSettings, "name" | "imageId" | "logPath" | "limits" | "attachment"> & {
  readonly stopSignal?: string;
};

/** What went wrong while something was made. `step` says how far it had come: at "start" the OCI runtime was given a whole container, and could not run its process. */
export class RuntimeFailure extends Error {
  readonly kind = "RuntimeFailure";
  readonly step: "sandbox" | "configuration" | "create" | "start";
  constructor(step: RuntimeFailure["step"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.step = step;
  }
}
