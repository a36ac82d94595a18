/**
 * What a pod may ask of a container and an isolate cannot give. It is refused by name, before anything is made, instead of being left out in silence. What has no meaning
 * and does no harm when it is left out (user and group ids, fsGroup, terminals) is not refused.
 */
import {
  ContainerError,
  type ContainerMount,
  type ContainerSpec,
  type SandboxSpec,
} from "#kubelet/container-runtime.ts";
import { isBundlePath } from "./bundle.ts";

/** Mounts that every pod gets without asking. */
const givenMounts = [
  "/etc/hosts",
  "/etc/hostname",
  "/etc/resolv.conf",
  "/var/run/secrets/kubernetes.io/serviceaccount",
];

/** Throws {@link ContainerError} with the reason CreatePodSandboxError. */
export function checkSandbox(spec: SandboxSpec): void {
  const asked = [
    spec.hostNetwork && "hostNetwork",
    spec.hostPID && "hostPID",
    spec.hostIPC && "hostIPC",
    spec.shareProcessNamespace && "shareProcessNamespace",
  ].find((name) => name !== false);
  if (asked === undefined) return;
  throw new ContainerError("CreatePodSandboxError", `${asked} is not possible with runtimeClassName isolate`);
}

/** The file for the container's last words, wherever the container wants it; undefined where there is none. The kubelet names it so. */
export function terminationFile(mounts: readonly ContainerMount[]): string | undefined {
  return mounts.find(({ hostPath }) => hostPath.endsWith(".termination"))?.hostPath;
}

/** Throws {@link ContainerError} with the reason CreateContainerConfigError. */
export function checkContainer(spec: ContainerSpec): void {
  const { security, command, args, mounts, devices } = spec;
  const refuse = (why: string): never => {
    throw new ContainerError("CreateContainerConfigError", `isolate ${JSON.stringify(spec.name)}: ${why}`);
  };
  if (command.length > 0) refuse("command has no meaning: an isolate runs the modules of its bundle");
  if (args.length > 0) refuse("args have no meaning: an isolate gets its settings from its environment");
  if (security.privileged) refuse("an isolate cannot be privileged");
  if (security.addCapabilities.length > 0) refuse("an isolate cannot have capabilities");
  if (devices.length > 0) refuse("an isolate cannot have devices");
  const invisible = mounts.find(
    ({ hostPath, containerPath }) =>
      !givenMounts.includes(containerPath) && hostPath !== terminationFile(mounts) && !isBundlePath(containerPath),
  );
  if (invisible)
    refuse(
      `a volume at ${invisible.containerPath} would not be visible: an isolate has no files but those below /bundle`,
    );
}
