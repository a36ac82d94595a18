/**
 * One container, completely resolved, from its spec, its environment and its mounts. As kuberuntime's generateContainerConfig and pkg/securitycontext.
 */
import type {
  Container,
  ContainerPort,
  EphemeralContainer,
  Pod,
  SeccompProfile,
} from "#api/generated/types/core-v1.ts";
import { ContainerError } from "#kubelet/container-runtime.ts";
import type { ContainerMount, ContainerSecurity, ContainerSpec } from "#kubelet/container-runtime.ts";
import { expand } from "#kubelet/env/expansion.ts";
import type { Variables } from "#kubelet/env/environment.ts";
import { refOf } from "#kubelet/pod-object.ts";
import { containerResources } from "#kubelet/resources/linux-resources.ts";
import { oomScoreAdjOf } from "#kubelet/resources/qos.ts";

/** What was found out for this start. */
export type ContainerParts = {
  readonly attempt: number;
  readonly imageId: string;
  readonly environment: Variables;
  readonly mounts: readonly ContainerMount[];
  readonly logPath: string;
  readonly nodeMemoryBytes: number;
  /** Folder of seccomp profiles that pods name by `localhostProfile`. */
  readonly seccompFolder: string;
};

/** The specification for the runtime. Throws {@link ContainerError} for what this node cannot do. */
export function containerSpec(pod: Pod, container: Container, parts: ContainerParts): ContainerSpec {
  const lookup = (name: string) => parts.environment.get(name);
  const words = (list: readonly string[] | undefined) => (list ?? []).map((word) => expand(word, lookup));
  const target = (container as EphemeralContainer).targetContainerName;
  const stopSignal = container.lifecycle?.stopSignal;
  refuseUnsupported(container);
  return {
    pod: refOf(pod),
    name: container.name,
    attempt: parts.attempt,
    imageId: parts.imageId,
    command: words(container.command),
    args: words(container.args),
    ...(container.workingDir ? { workingDir: container.workingDir } : {}),
    env: [...parts.environment].map(([name, value]) => ({ name, value })),
    mounts: parts.mounts,
    ports: (container.ports ?? []).filter(isTcp).map((port) => port.containerPort),
    devices: [],
    security: containerSecurity(pod, container, parts.seccompFolder),
    resources: containerResources(pod, container),
    oomScoreAdj: oomScoreAdjOf(pod, container, parts.nodeMemoryBytes),
    tty: container.tty ?? false,
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    logPath: parts.logPath,
    ...(target ? { targetContainer: target } : {}),
    ...(stopSignal ? { stopSignal } : {}),
    ...execsOf(container),
  };
}

/** Pod-wide settings, overridden by the container's own. */
export function containerSecurity(pod: Pod, container: Container, seccompFolder: string): ContainerSecurity {
  const ofPod = pod.spec?.securityContext ?? {};
  const own = container.securityContext ?? {};
  const runAsUser = own.runAsUser ?? ofPod.runAsUser;
  const runAsGroup = own.runAsGroup ?? ofPod.runAsGroup;
  const isPrivileged = own.privileged ?? false;
  const groups = [...(ofPod.supplementalGroups ?? []), ...(ofPod.fsGroup === undefined ? [] : [ofPod.fsGroup])];
  return {
    privileged: isPrivileged,
    ...(runAsUser === undefined ? {} : { runAsUser }),
    ...(runAsGroup === undefined ? {} : { runAsGroup }),
    runAsNonRoot: own.runAsNonRoot ?? ofPod.runAsNonRoot ?? false,
    supplementalGroups: [...new Set(groups)],
    supplementalGroupsPolicy: ofPod.supplementalGroupsPolicy === "Strict" ? "Strict" : "Merge",
    readOnlyRootFilesystem: own.readOnlyRootFilesystem ?? false,
    allowPrivilegeEscalation: own.allowPrivilegeEscalation ?? true,
    addCapabilities: own.capabilities?.add ?? [],
    dropCapabilities: own.capabilities?.drop ?? [],
    seccomp: seccompOf(own.seccompProfile ?? ofPod.seccompProfile, seccompFolder),
    procMount: own.procMount === "Unmasked" ? "Unmasked" : "Default",
  };
}

function seccompOf(profile: SeccompProfile | undefined, folder: string): ContainerSecurity["seccomp"] {
  if (profile?.type === "RuntimeDefault") return { type: "RuntimeDefault" };
  if (profile?.type !== "Localhost") return { type: "Unconfined" };
  const name = profile.localhostProfile ?? "";
  if (name === "" || name.startsWith("/") || name.split("/").includes("..")) {
    const message = `localhostProfile must be set if seccompProfile type is Localhost.`;
    throw new ContainerError("CreateContainerConfigError", message);
  }
  return { type: "Localhost", path: `${folder}/${name}` };
}

function execsOf(container: Container): Pick<ContainerSpec, "execs"> {
  const { livenessProbe, readinessProbe, startupProbe, lifecycle } = container;
  const handlers = {
    livenessProbe,
    readinessProbe,
    startupProbe,
    "lifecycle.postStart": lifecycle?.postStart,
    "lifecycle.preStop": lifecycle?.preStop,
  };
  const execs = Object.entries(handlers).flatMap(([field, handler]) => (handler?.exec ? [field] : []));
  return execs.length > 0 ? { execs } : {};
}

function isTcp(port: ContainerPort): boolean {
  return (port.protocol ?? "TCP") === "TCP";
}

function refuseUnsupported(container: Container): void {
  if ((container.volumeDevices ?? []).length > 0) {
    throw new ContainerError("CreateContainerConfigError", "block volumes are not supported on this node");
  }
}
