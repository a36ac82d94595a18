/**
 * A container runtime and its images in memory, for tests of the engine: containers run until they are stopped or a test ends them.
 */
import { Duplex } from "node:stream";
import type { Clock } from "#component-base/clock.ts";
import { ContainerError, ImageError } from "#kubelet/container-runtime.ts";
import type {
  ContainerRuntime,
  ContainerSpec,
  ContainerState,
  ImageInfo,
  ImageService,
  LinuxResources,
  RegistryCredential,
  Sandbox,
  SandboxSpec,
} from "#kubelet/container-runtime.ts";
import type { PodRef, ProcessStreams } from "#kubelet/provider.ts";

/** What a test may decide about a container that is about to start. */
export type ContainerScript = {
  /** Ends by itself, at once, with this code. */
  readonly exitCode?: number;
  /** The start fails with this reason. After StartError the container is there, and has exited. */
  readonly failure?: "CreateContainerError" | "RunContainerError" | "StartError";
  /** Ignores SIGTERM: ends only when its grace is over. */
  readonly isStubborn?: boolean;
};

/** Containers in memory. */
export class MemoryRuntime implements ContainerRuntime, ImageService {
  /** Everything that was asked, in order: "start web/main#0". */
  readonly log: string[] = [];
  /** Specs of the containers that were started. */
  readonly specs: ContainerSpec[] = [];
  readonly updates: { readonly id: string; readonly resources: LinuxResources }[] = [];
  script: (spec: ContainerSpec) => ContainerScript = () => ({});
  /** Answers of commands. */
  onExec: (id: string, command: readonly string[]) => { readonly exitCode: number; readonly output?: string } = () => ({
    exitCode: 0,
  });
  /** Images that can be pulled; undefined: all. */
  pullable: ReadonlySet<string> | undefined;
  sandboxFailure: string | undefined;
  readonly images: Set<string> = new Set();
  readonly credentials: (readonly RegistryCredential[])[] = [];
  readonly #clock: Clock;
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #containers = new Map<string, ContainerState>();
  readonly #stubborn = new Set<string>();
  #listener: (state: ContainerState) => void = () => {};
  #made = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async version(): Promise<{ readonly name: string; readonly version: string }> {
    return { name: "memory", version: "1" };
  }

  async ensureSandbox(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> {
    signal.throwIfAborted();
    if (this.sandboxFailure !== undefined) throw new ContainerError("CreatePodSandboxError", this.sandboxFailure);
    const known = this.#sandboxes.get(spec.pod.uid);
    if (known?.ready) return known;
    this.log.push(`sandbox ${spec.pod.name}`);
    this.#made += 1;
    const sandbox = { pod: spec.pod, ready: true, ips: [`10.42.0.${this.#made + 1}`], createdMs: this.#clock.now() };
    this.#sandboxes.set(spec.pod.uid, sandbox);
    return sandbox;
  }

  async removeSandbox(pod: PodRef): Promise<void> {
    if (this.#sandboxes.delete(pod.uid)) this.log.push(`remove sandbox ${pod.name}`);
    for (const state of this.#containers.values()) {
      if (state.pod.uid !== pod.uid) continue;
      this.end(state.id, 137);
      this.#containers.delete(state.id);
    }
  }

  async listSandboxes(): Promise<readonly Sandbox[]> {
    return [...this.#sandboxes.values()];
  }

  async startContainer(spec: ContainerSpec, signal: AbortSignal): Promise<ContainerState> {
    signal.throwIfAborted();
    const script = this.script(spec);
    this.log.push(`start ${spec.pod.name}/${spec.name}#${spec.attempt}`);
    this.specs.push(spec);
    if (script.failure && script.failure !== "StartError")
      throw new ContainerError(script.failure, "it was told to fail");
    this.#made += 1;
    const nowMs = this.#clock.now();
    const id = `${spec.name}-${spec.attempt}-${this.#made}`;
    const { pod, name, attempt } = spec;
    const state: ContainerState = {
      id,
      pod,
      name,
      attempt,
      spec,
      phase: "running",
      createdMs: nowMs,
      startedMs: nowMs,
    };
    this.#containers.set(id, state);
    if (script.failure) throw this.#notStarted(state);
    if (script.isStubborn) this.#stubborn.add(id);
    if (script.exitCode !== undefined) queueMicrotask(() => this.end(id, script.exitCode ?? 0));
    return state;
  }

  #notStarted(state: ContainerState): ContainerError {
    const message = "OCI runtime create failed: it was told to fail";
    const ended = { exitCode: 128, reason: "StartError", startedMs: 0, finishedMs: this.#clock.now(), message };
    const container: ContainerState = { ...state, ...ended, phase: "exited" };
    this.#containers.set(state.id, container);
    return new ContainerError("RunContainerError", message, { container });
  }

  async stopContainer(id: string, gracePeriodSeconds: number): Promise<void> {
    const state = this.#containers.get(id);
    if (state?.phase !== "running") return;
    this.log.push(`stop ${state.pod.name}/${state.name} ${gracePeriodSeconds}s`);
    if (this.#stubborn.has(id)) await this.#clock.sleep(gracePeriodSeconds * 1000);
    this.end(id, this.#stubborn.has(id) ? 137 : 0);
  }

  async removeContainer(id: string): Promise<void> {
    this.#containers.delete(id);
  }

  async listContainers(): Promise<readonly ContainerState[]> {
    return [...this.#containers.values()];
  }

  onChange(listener: (state: ContainerState) => void): void {
    this.#listener = listener;
  }

  async updateSandboxResources(pod: PodRef, resources: LinuxResources): Promise<void> {
    this.updates.push({ id: pod.name, resources });
  }

  async updateResources(id: string, resources: LinuxResources): Promise<void> {
    this.updates.push({ id, resources });
  }

  async exec(id: string, command: readonly string[], streams: ProcessStreams, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    this.log.push(`exec ${command.join(" ")}`);
    const answer = this.onExec(id, command);
    if (answer.output !== undefined) await streams.stdout?.(Buffer.from(answer.output));
    return answer.exitCode;
  }

  async attach(_id: string, _streams: ProcessStreams, _signal: AbortSignal): Promise<void> {}

  async portForward(_pod: PodRef, _port: number, _signal: AbortSignal): Promise<Duplex> {
    return Duplex.from([]);
  }

  async usage(): ReturnType<ContainerRuntime["usage"]> {
    return [];
  }

  async reopenLog(_id: string): Promise<void> {}

  async findImage(reference: string): Promise<ImageInfo | undefined> {
    if (/[A-Z]/.test(reference)) throw new ImageError("InvalidImageName", `couldn't parse image name "${reference}"`);
    return this.images.has(reference) ? imageInfo(reference) : undefined;
  }

  async pullImage(
    reference: string,
    credentials: readonly RegistryCredential[],
    signal: AbortSignal,
  ): Promise<ImageInfo> {
    signal.throwIfAborted();
    this.log.push(`pull ${reference}`);
    this.credentials.push(credentials);
    if (this.pullable && !this.pullable.has(reference)) throw new ImageError("ErrImagePull", `${reference}: not found`);
    this.images.add(reference);
    return imageInfo(reference);
  }

  async listImages(): Promise<readonly ImageInfo[]> {
    return [...this.images].map(imageInfo);
  }

  async removeImage(reference: string): Promise<void> {
    this.images.delete(reference);
  }

  /** Ends a container, by its id or by "pod/container" (the newest of this name). */
  end(idOrName: string, exitCode: number, extra: { readonly oomKilled?: boolean } = {}): void {
    const state = this.#containers.get(idOrName) ?? this.running(idOrName);
    if (state?.phase !== "running") return;
    const ended: ContainerState = { ...state, ...extra, phase: "exited", exitCode, finishedMs: this.#clock.now() };
    this.#containers.set(state.id, ended);
    this.#listener(ended);
  }

  /** The running container "pod/container". */
  running(name: string): ContainerState | undefined {
    return [...this.#containers.values()].find((it) => `${it.pod.name}/${it.name}` === name && it.phase === "running");
  }

  /** All containers are gone and sandboxes useless, as after a reboot. */
  reboot(): void {
    this.#containers.clear();
    for (const [uid, sandbox] of this.#sandboxes) this.#sandboxes.set(uid, { ...sandbox, ready: false });
  }
}

function imageInfo(reference: string): ImageInfo {
  const id = `sha256:${reference}`;
  return { id, tags: [reference], digests: [`${reference.split(":")[0]}@sha256:0`], sizeBytes: 4_000_000, user: "" };
}
