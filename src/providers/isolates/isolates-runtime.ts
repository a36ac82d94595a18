/**
 * The container runtime contract for isolates: a sandbox is one that waited in the pool, starting a container means posting its code to the process in it. All else
 * (control groups, logs, ends, adoption) is as for containers, done by the same `runtime/`.
 */
import type { Duplex } from "node:stream";
import type {
  ContainerSpec,
  ContainerState,
  LinuxResources,
  Sandbox,
  SandboxSpec,
} from "#kubelet/container-runtime.ts";
import type { ContainerUsage, PodRef, ProcessStreams } from "#kubelet/provider.ts";
import { type Listeners, loadListeners } from "#linux/listeners.ts";
import { signalProcess } from "#linux/processes.ts";
import type { ContainerRecord } from "#runtime/container-record.ts";
import type { CagingEngine } from "#runtime/runtime-engine.ts";
import { attachToContainer, connectInside } from "#runtime/streams.ts";
import { asContainerError, sandboxOf, stateOf } from "#providers/engine-words.ts";
import { PodConnections } from "#providers/pod-connections.ts";
import type { RuntimeOfClass } from "#providers/runtime-classes.ts";
import { type CageParts, writeNames } from "./cage.ts";
import { IsolateGround } from "./isolate-ground.ts";
import type { IsolateParts, IsolatesRuntimeOptions } from "./isolate-parts.ts";
import { IsolateStarts } from "./isolate-starts.ts";
import { acceptedHere, connectionsOf, Lingering } from "./linger.ts";
import { checkContainer, checkSandbox } from "./refusals.ts";

/** Runs isolates on this machine, a workerd process each. */
export class IsolatesRuntime implements RuntimeOfClass {
  readonly #options: IsolatesRuntimeOptions;
  #engine: CagingEngine | undefined;
  #listeners: Listeners | undefined;
  #parts: Promise<CageParts> | undefined;
  #listener: (state: ContainerState) => void = () => {};
  readonly #ground: IsolateGround;
  readonly #starts: IsolateStarts;
  readonly #connections = new PodConnections();
  readonly #lingering: Lingering;

  constructor(options: IsolatesRuntimeOptions) {
    this.#options = options;
    this.#lingering = new Lingering(options.clock);
    const parts: IsolateParts = {
      options,
      findEngine: () => this.#engine,
      engine: () => this.#running(),
      cageParts: () => this.#cageParts(),
    };
    this.#ground = new IsolateGround(parts);
    this.#starts = new IsolateStarts(parts, this.#ground);
  }

  /** Takes over what runs. What waited for a pod is removed: the sockets with which it would be given one are gone. */
  async start(): Promise<void> {
    this.#listeners = await loadListeners();
    const engine = await this.#options.openEngine();
    this.#engine = engine;
    engine.containers.onEnd((record) => {
      if (record.settings.attachment !== undefined) this.#listener(stateOf(record));
    });
    for (const record of engine.containers.list()) {
      if (record.settings.attachment === undefined) await engine.containers.remove(record.id);
      else this.#starts.bound(record.id);
      // The agent before may have died while it moved its socket.
      if (engine.containers.find(record.id)?.phase === "running")
        signalProcess(engine.containers.runningProcess(record.id), "SIGCONT");
    }
    for (const { settings } of engine.sandboxes.list()) {
      const spec = settings.attachment as SandboxSpec | undefined;
      if (spec) this.#ground.adopt(spec.pod.uid, settings.id);
      else await engine.sandboxes.remove(settings.id);
    }
  }

  async stop(): Promise<void> {
    if (!this.#engine) return;
    await this.#ground.stop();
    this.#engine.close();
    this.#engine = undefined;
  }

  /** Whether the pod's sandbox is here. */
  hasPod(uid: string): boolean {
    return this.#ground.hasPod(uid);
  }

  prepareLike(pod: Pick<PodRef, "namespace" | "name">): void {
    if (this.#engine) this.#ground.ahead.prepare(pod);
  }

  hasContainer(id: string): boolean {
    return this.#engine?.containers.find(id) !== undefined;
  }

  async version(): Promise<{ readonly name: string; readonly version: string }> {
    const { workerd } = await this.#cageParts();
    return { name: "workerd", version: workerd.compatibilityDate };
  }

  async ensureSandbox(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> {
    signal.throwIfAborted();
    checkSandbox(spec);
    try {
      return sandboxOf(await this.#ground.ensure(spec));
    } catch (error) {
      throw asContainerError(error);
    }
  }

  async removeSandbox(pod: PodRef): Promise<void> {
    this.#connections.end(pod.uid);
    await this.#ground.remove(pod);
  }

  listSandboxes(): Promise<readonly Sandbox[]> {
    const all = this.#running().sandboxes.list();
    return Promise.resolve(all.filter(({ settings }) => settings.attachment !== undefined).map(sandboxOf));
  }

  async startContainer(spec: ContainerSpec, signal: AbortSignal): Promise<ContainerState> {
    signal.throwIfAborted();
    checkContainer(spec);
    try {
      return stateOf(await this.#starts.start(spec, signal));
    } catch (error) {
      if (signal.aborted) throw error;
      throw asContainerError(error);
    }
  }

  async stopContainer(id: string, gracePeriodSeconds: number): Promise<void> {
    const { containers } = this.#running();
    const record = containers.find(id);
    if (record?.phase !== "running") return containers.stop(id, gracePeriodSeconds);
    const left = await this.#lingering.wait(id, gracePeriodSeconds, () => this.#connectionsTo(record));
    await this.#engine?.containers.stop(id, left);
  }

  removeContainer(id: string): Promise<void> {
    return this.#running().containers.remove(id);
  }

  listContainers(): Promise<readonly ContainerState[]> {
    const all = this.#running().containers.list();
    const assigned = all.filter(({ phase, settings }) => phase !== "making" && settings.attachment !== undefined);
    return Promise.resolve(assigned.map(stateOf));
  }

  onChange(listener: (state: ContainerState) => void): void {
    this.#listener = listener;
  }

  async updateSandboxResources(pod: PodRef, resources: LinuxResources): Promise<void> {
    const id = this.#ground.find(pod.uid);
    if (id !== undefined) this.#running().sandboxes.updateLimits(id, resources);
  }

  async updateResources(id: string, resources: LinuxResources): Promise<void> {
    this.#running().containers.updateLimits(id, resources);
  }

  exec(): Promise<number> {
    return Promise.reject(new Error("an isolate has no programs that could be run in it"));
  }

  /** Output only: nobody reads what would be sent in. */
  async attach(id: string, streams: ProcessStreams, signal: AbortSignal): Promise<void> {
    const { containers, libc } = this.#running();
    const { pid } = containers.runningProcess(id);
    const { settings } = containers.find(id) as ContainerRecord;
    const files = { bundle: containers.folder(id), logPath: settings.logPath };
    const target = { libc, pid, ...files, socat: "", ended: containers.waitForEnd(id), hasStdin: false };
    await attachToContainer(target, { ...streams, tty: false }, signal);
  }

  async portForward(pod: PodRef, port: number, signal: AbortSignal): Promise<Duplex> {
    const { sandboxes, networks, libc, ownAddress } = this.#running();
    const record = sandboxes.find(this.#ground.find(pod.uid) ?? "");
    if (!record?.isReady) throw new Error(`sandbox of pod ${pod.namespace}/${pod.name} is not ready`);
    const enter = <T>(inside: () => T) => networks.insideNetwork(record.namespaces.key, inside);
    return this.#connections.keep(pod.uid, await connectInside(libc, enter, port, signal, ownAddress(record).connect));
  }

  usage(): Promise<readonly { readonly pod: PodRef; readonly containers: readonly ContainerUsage[] }[]> {
    const { containers } = this.#running();
    const pods = new Map<string, { readonly pod: PodRef; readonly containers: ContainerUsage[] }>();
    for (const record of containers.list()) {
      const spec = record.settings.attachment as ContainerSpec | undefined;
      const usage = spec && containers.readUsage(record.id);
      if (!usage) continue;
      const entry = pods.get(spec.pod.uid) ?? { pod: spec.pod, containers: [] };
      entry.containers.push({ name: spec.name, startTimeMs: record.startedMs ?? record.createdMs, ...usage });
      pods.set(spec.pod.uid, entry);
    }
    return Promise.resolve([...pods.values()]);
  }

  /** Tells all isolates the names that are known by now. */
  refreshNames(): void {
    const engine = this.#engine;
    if (!engine) return;
    for (const { id, phase, settings } of engine.containers.list()) {
      const spec = settings.attachment as ContainerSpec | undefined;
      if (phase === "running" && spec) writeNames(engine, id, spec, this.#options.names);
    }
  }

  async reopenLog(id: string): Promise<void> {
    this.#running().containers.reopenLog(id);
  }

  /** Connections that came to its pod until now; none where it has lost its sandbox. */
  #connectionsTo({ settings }: ContainerRecord): number | undefined {
    const sandbox = this.#engine?.sandboxes.find(settings.sandboxId);
    if (!this.#engine || !sandbox?.isReady) return 0;
    const { networks, ownAddress } = this.#engine;
    const { address } = sandbox.namespaces;
    // Where sandboxes have no network of their own they are told apart by their addresses.
    if (address !== undefined && ownAddress(sandbox).listen === address) return connectionsOf(address);
    return networks.insideNetwork(sandbox.namespaces.key, acceptedHere);
  }

  async #cageParts(): Promise<CageParts> {
    const engine = this.#running();
    const listeners = this.#listeners as Listeners;
    this.#parts ??= this.#options.prepare().then((prepared) => ({ engine, listeners, ...prepared }));
    // A failure is tried again with the next isolate.
    this.#parts.catch(() => (this.#parts = undefined));
    return this.#parts;
  }

  #running(): CagingEngine {
    if (!this.#engine) throw new Error("the isolates runtime is not started");
    return this.#engine;
  }
}
