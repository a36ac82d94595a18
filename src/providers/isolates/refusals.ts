/**
 * What a pod may ask of a container and an isolate cannot give. It is refused by name, before anything is made, instead of being left out in silence. What has no meaning
 * and does no harm when it is left out (user and group ids, fsGroup, terminals) is not refused.
 */
import { readFileSync } from "node:fs";
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

/** What a pod that shares its process cannot have beside. `others` are the names of the pod's containers until now, `resolver` is what the pods of its pack have. Throws {@link ContainerError}. */
export function checkPackedContainer(
  spec: ContainerSpec,
  pack: { readonly others: readonly string[]; readonly resolver: string | undefined },
): void {
  const refuse = (why: string): never => {
    throw new ContainerError("CreateContainerConfigError", `packed isolate ${JSON.stringify(spec.name)}: ${why}`);
  };
  if (pack.others.some((name) => name !== spec.name)) refuse("a pod has one container");
  if (textOf(spec, "/etc/hosts").includes("HostAliases")) refuse("hostAliases would be those of all its pack");
  if (pack.resolver !== undefined && pack.resolver !== resolverOf(spec))
    refuse("its DNS settings differ from those of the other pods of its pack");
}

/** Text of its /etc/resolv.conf. */
export function resolverOf(spec: ContainerSpec): string {
  return textOf(spec, "/etc/resolv.conf");
}

function textOf({ mounts }: ContainerSpec, path: string): string {
  const mount = mounts.find(({ containerPath }) => containerPath === path);
  return mount ? readFileSync(mount.hostPath, "utf8") : "";
}

/** The file for the container's last words, wherever the container wants it; undefined where there is none. The kubelet names it so. */
export function terminationFile(mounts: readonly ContainerMount[]): string | undefined {
  return mounts.find(({ hostPath }) => hostPath.endsWith(".termination"))?.hostPath;
}

/** Throws {@link ContainerError} with the reason CreateContainerConfigError. */
export function checkContainer(spec: ContainerSpec): void {
  const { security, command, args, mounts, devices, execs = [] } = spec;
  const refuse = (why: string): never => {
    throw new ContainerError("CreateContainerConfigError", `isolate ${JSON.stringify(spec.name)}: ${why}`);
  };
  if (command.length > 0) refuse("command has no meaning: an isolate runs the modules of its bundle");
  if (args.length > 0) refuse("args have no meaning: an isolate gets its settings from its environment");
  const [exec] = execs;
  if (exec !== undefined)
    refuse(
      `${exec} cannot run a command: an isolate has no programs; use ${exec.startsWith("lifecycle") ? "httpGet or sleep" : "httpGet, tcpSocket or grpc"} there`,
    );
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
