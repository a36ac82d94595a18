/**
 * Several container runtimes as one: the handler of the pod's RuntimeClass chooses. A runtime beside the default one is loaded when it is first needed, or at start when it
 * has left something from before.
 */
import type { Duplex } from "node:stream";
import type { Service } from "#component-base/life-cycle.ts";
import type {
  ContainerFiles,
  ContainerRuntime,
  ContainerSpec,
  ContainerState,
  LinuxResources,
  Sandbox,
  SandboxSpec,
} from "#kubelet/container-runtime.ts";
import type { PodRef, ProcessStreams } from "#kubelet/provider.ts";

/** A runtime that knows which pods and containers are its own. */
export interface RuntimeOfClass extends ContainerRuntime, Service {
  /** Whether the pod's sandbox is here or is being made. */
  hasPod(uid: string): boolean;
  /** Whether the container is here. */
  hasContainer(id: string): boolean;
  /** A pod like this one, which was here, will be wanted in a moment: makes ready what it can. Never throws; nothing is lost if none comes. */
  prepareLike?(pod: Pick<PodRef, "namespace" | "name">): void;
}

/** A runtime beside the default one. */
export type RuntimeClassHandler = {
  /** As RuntimeClass objects name it. */
  readonly handler: string;
  /** Makes it; it is started here. */
  readonly load: () => Promise<RuntimeOfClass>;
  /** Whether it has left something from before this start. */
  readonly isInUse: () => boolean;
  /** As {@link ContainerRuntime.hidesMount}, known before it is loaded. */
  readonly hidesMount: (containerPath: string) => boolean;
};

/** The default runtime, and others by handler. */
export class RuntimeClasses implements ContainerRuntime, ContainerFiles, Service {
  readonly #fallback: ContainerRuntime & Service;
  readonly #handlers: readonly RuntimeClassHandler[];
  readonly #loading = new Map<string, Promise<RuntimeOfClass>>();
  readonly #loaded: RuntimeOfClass[] = [];
  readonly #never = new AbortController().signal;
  #listener: (state: ContainerState) => void = () => {};

  constructor(fallback: ContainerRuntime & Service, handlers: readonly RuntimeClassHandler[]) {
    this.#fallback = fallback;
    this.#handlers = handlers;
  }

  /** All that have pods must be there before the first new one is given an address. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#fallback.start(signal);
    for (const handler of this.#handlers) if (handler.isInUse()) await this.#load(handler);
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.#loading.values());
    await Promise.all(this.#all().map((runtime) => runtime.stop()));
  }

  /** A pod like this one, which was here, will be wanted in a moment. */
  prepareLike(pod: Pick<PodRef, "namespace" | "name">): void {
    for (const runtime of this.#loaded) runtime.prepareLike?.(pod);
  }

  version(): Promise<{ readonly name: string; readonly version: string }> {
    return this.#fallback.version();
  }

  async ensureSandbox(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> {
    const handler = this.#handlers.find((candidate) => candidate.handler === spec.runtimeClass);
    const runtime = handler ? await this.#load(handler) : this.#fallback;
    return runtime.ensureSandbox(spec, signal);
  }

  removeSandbox(pod: PodRef): Promise<void> {
    return this.#ofPod(pod).removeSandbox(pod);
  }

  async listSandboxes(): Promise<readonly Sandbox[]> {
    return (await Promise.all(this.#all().map((runtime) => runtime.listSandboxes()))).flat();
  }

  startContainer(spec: ContainerSpec, signal: AbortSignal): Promise<ContainerState> {
    return this.#ofPod(spec.pod).startContainer(spec, signal);
  }

  stopContainer(id: string, gracePeriodSeconds: number): Promise<void> {
    return this.#ofContainer(id).stopContainer(id, gracePeriodSeconds);
  }

  removeContainer(id: string): Promise<void> {
    return this.#ofContainer(id).removeContainer(id);
  }

  async listContainers(): Promise<readonly ContainerState[]> {
    return (await Promise.all(this.#all().map((runtime) => runtime.listContainers()))).flat();
  }

  onChange(listener: (state: ContainerState) => void): void {
    this.#listener = listener;
    for (const runtime of this.#all()) runtime.onChange(listener);
  }

  updateSandboxResources(pod: PodRef, resources: LinuxResources): Promise<void> {
    return this.#ofPod(pod).updateSandboxResources(pod, resources);
  }

  updateResources(id: string, resources: LinuxResources): Promise<void> {
    return this.#ofContainer(id).updateResources(id, resources);
  }

  exec(id: string, command: readonly string[], streams: ProcessStreams, signal: AbortSignal): Promise<number> {
    return this.#ofContainer(id).exec(id, command, streams, signal);
  }

  attach(id: string, streams: ProcessStreams, signal: AbortSignal): Promise<void> {
    return this.#ofContainer(id).attach(id, streams, signal);
  }

  portForward(pod: PodRef, port: number, signal: AbortSignal): Promise<Duplex> {
    return this.#ofPod(pod).portForward(pod, port, signal);
  }

  async usage(): ReturnType<ContainerRuntime["usage"]> {
    return (await Promise.all(this.#all().map((runtime) => runtime.usage()))).flat();
  }

  reopenLog(id: string): Promise<void> {
    return this.#ofContainer(id).reopenLog(id);
  }

  hidesMount(runtimeClass: string, containerPath: string): boolean {
    const handler = this.#handlers.find((candidate) => candidate.handler === runtimeClass);
    return handler?.hidesMount(containerPath) ?? false;
  }

  writtenFolder(id: string): string | undefined {
    const runtime: ContainerRuntime & Partial<ContainerFiles> = this.#ofContainer(id);
    return runtime.writtenFolder?.(id);
  }

  #all(): readonly (ContainerRuntime & Service)[] {
    return [this.#fallback, ...this.#loaded];
  }

  #ofPod(pod: PodRef): ContainerRuntime {
    return this.#loaded.find((runtime) => runtime.hasPod(pod.uid)) ?? this.#fallback;
  }

  #ofContainer(id: string): ContainerRuntime {
    return this.#loaded.find((runtime) => runtime.hasContainer(id)) ?? this.#fallback;
  }

  #load(handler: RuntimeClassHandler): Promise<RuntimeOfClass> {
    const known = this.#loading.get(handler.handler);
    if (known) return known;
    const loading = this.#loadAndStart(handler);
    this.#loading.set(handler.handler, loading);
    // A failure is tried again with the next pod.
    loading.catch(() => this.#loading.delete(handler.handler));
    return loading;
  }

  async #loadAndStart(handler: RuntimeClassHandler): Promise<RuntimeOfClass> {
    const runtime = await handler.load();
    runtime.onChange((state) => this.#listener(state));
    await runtime.start(this.#never);
    this.#loaded.push(runtime);
    return runtime;
  }
}
