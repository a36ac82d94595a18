/**
 * Starts one container: image, environment, mounts, the process, the postStart hook. Each step's failure has its own reason. As kuberuntime's startContainer, v1.36.
 */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Container, EphemeralContainer, Pod } from "#api/generated/types/core-v1.ts";
import { ContainerError } from "#kubelet/container-runtime.ts";
import type { ContainerMount, ContainerSpec, ContainerState, ImageInfo } from "#kubelet/container-runtime.ts";
import { environmentOf } from "#kubelet/env/environment.ts";
import { containerFieldPath } from "#kubelet/events.ts";
import { formatPod, refOf } from "#kubelet/pod-object.ts";
import { containerSpec } from "./container-spec.ts";
import { etcMounts } from "./etc-files.ts";
import type { EngineParts } from "./engine-parts.ts";
import { type IsHidden, withoutHiddenMounts } from "./hidden-mounts.ts";
import { ImageNotReady } from "./image-puller.ts";
import { containerLogPath, terminationMessagePath } from "./pod-folders.ts";
import { pullCredentials } from "./pull-credentials.ts";

/** A container that did not start: its waiting reason, and when to try again. */
export class StartFailure extends Error {
  readonly kind = "StartFailure";
  readonly reason: string;
  /** undefined: the crash backoff of the container that was made decides. */
  readonly retryMs: number | undefined;
  /** What was made all the same, and has exited. */
  readonly container: ContainerState | undefined;
  constructor(
    reason: string,
    message: string,
    retryMs: number | undefined,
    options?: ErrorOptions & { readonly container?: ContainerState | undefined },
  ) {
    super(message, options);
    this.reason = reason;
    this.retryMs = retryMs;
    this.container = options?.container;
  }
}

/** Configuration may become whole by a change elsewhere, which wakes us; this is for what nobody tells. */
const configRetryMs = 10_000;

export type StartContext = {
  readonly parts: EngineParts;
  readonly pod: Pod;
  readonly podIPs: readonly string[];
  readonly attempt: number;
  /** The newest container of another name, for ephemeral containers that join its processes. */
  readonly latest: (name: string) => ContainerState | undefined;
  /** What is mounted at this path would not be seen. */
  readonly isHidden: IsHidden;
  readonly signal: AbortSignal;
};

/** Makes and starts the container. Throws {@link StartFailure}, or the signal's reason. */
export async function startContainer(container: Container, context: StartContext): Promise<ContainerState> {
  const { parts, pod, signal } = context;
  const say = (type: "Normal" | "Warning", reason: string, message: string): void =>
    parts.events.pod(pod, type, reason, message, containerFieldPath(pod, container.name));
  try {
    const image = await ensureImage(container, context);
    const spec = await resolveSpec(container, image, context);
    const state = await parts.runtime.startContainer(spec, signal);
    say("Normal", "Created", "Container created");
    say("Normal", "Started", "Container started");
    return state;
  } catch (error) {
    signal.throwIfAborted();
    const failure = asFailure(error);
    if (failure.reason === "RunContainerError") say("Normal", "Created", "Container created");
    // Upstream names image failures by their reason alone; the pull has said the rest.
    const text = error instanceof ImageNotReady ? failure.reason : failure.message;
    say("Warning", "Failed", `Error: ${text}`);
    throw failure;
  }
}

async function ensureImage(container: Container, { parts, pod, signal }: StartContext): Promise<ImageInfo> {
  const credentials = () => pullCredentials(pod, parts.objects, parts.events);
  const image = await parts.images.ensureImage(pod, container, credentials, signal);
  parts.imageIDs.set(image.id, image.digests[0] ?? image.id);
  return image;
}

async function resolveSpec(container: Container, image: ImageInfo, context: StartContext): Promise<ContainerSpec> {
  const { parts, pod, attempt } = context;
  checkNonRoot(pod, container, image.user);
  const facts = { podIPs: podAddresses(context), hostIPs: parts.node.hostIPs, allocatable: parts.node.allocatable() };
  const readVolumeFile = (volume: string, path: string) => parts.volumes.readFile(pod, volume, path);
  const environment = await environmentOf(pod, container, { objects: parts.objects, facts, readVolumeFile });
  const logPath = containerLogPath(parts.folders, refOf(pod), container.name, attempt);
  const seeing = withoutHiddenMounts(container, context.isHidden);
  const mounts = await parts.volumes.containerMounts(pod, seeing, (name) => environment.get(name));
  const message = terminationMessageMount(container, context);
  mkdirSync(dirname(logPath), { recursive: true });
  checkTarget(container, context);
  return containerSpec(pod, container, {
    attempt,
    imageId: image.id,
    environment,
    mounts: [...mounts, ...etcMounts(parts.folders, pod, container), ...(message === undefined ? [] : [message])],
    logPath,
    nodeMemoryBytes: parts.node.memoryBytes,
    seccompFolder: parts.node.seccompFolder,
  });
}

function podAddresses({ pod, parts, podIPs }: StartContext): readonly string[] {
  return pod.spec?.hostNetwork ? parts.node.hostIPs : podIPs;
}

/** An empty file that anybody may write to. */
function terminationMessageMount(
  container: Container,
  { parts, pod, attempt }: StartContext,
): ContainerMount | undefined {
  const containerPath = container.terminationMessagePath ?? "/dev/termination-log";
  if (containerPath === "") return undefined;
  const hostPath = terminationMessagePath(parts.folders, refOf(pod).uid, container.name, attempt);
  mkdirSync(dirname(hostPath), { recursive: true });
  writeFileSync(hostPath, "");
  chmodSync(hostPath, 0o666);
  return {
    hostPath,
    containerPath: containerPath.startsWith("/") ? containerPath : `/${containerPath}`,
    readOnly: false,
    propagation: "None",
  };
}

/** runAsNonRoot, as far as it can be known before the image is looked into. As kuberuntime's verifyRunAsNonRoot. */
function checkNonRoot(pod: Pod, container: Container, imageUser: string): void {
  const runAsNonRoot = container.securityContext?.runAsNonRoot ?? pod.spec?.securityContext?.runAsNonRoot ?? false;
  if (!runAsNonRoot) return;
  const where = `(pod: ${JSON.stringify(formatPod(refOf(pod)))}, container: ${container.name})`;
  const refuse = (why: string): never => {
    throw new ContainerError("CreateContainerConfigError", `${why} ${where}`);
  };
  const user = container.securityContext?.runAsUser ?? pod.spec?.securityContext?.runAsUser;
  if (user === 0) refuse("container's runAsUser breaks non-root policy");
  if (user !== undefined) return;
  const [name = ""] = imageUser.split(":");
  if (name === "" || /^0+$/.test(name)) refuse("container has runAsNonRoot and image will run as root");
  if (!/^\d+$/.test(name)) {
    refuse(`container has runAsNonRoot and image has non-numeric user (${name}), cannot verify user is non-root`);
  }
}

function checkTarget(container: Container, { latest }: StartContext): void {
  const target = (container as EphemeralContainer).targetContainerName;
  if (!target || latest(target)?.phase === "running") return;
  const message = `unable to find target container ${JSON.stringify(target)}`;
  throw new ContainerError("CreateContainerConfigError", message);
}

function asFailure(error: unknown): StartFailure {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof ImageNotReady) return new StartFailure(error.reason, message, error.retryMs, { cause: error });
  if (error instanceof ContainerError) {
    const { reason, container } = error;
    return new StartFailure(reason, message, container ? undefined : configRetryMs, { cause: error, container });
  }
  return new StartFailure("CreateContainerError", message, configRetryMs, { cause: error });
}
