/**
 * The container runtime contract for isolates: a sandbox is one that waited in the pool, starting a container means posting its code to the process in it. All else
 * (control groups, logs, ends, adoption) is as for containers, done by the same `runtime/`.
 */
import { randomBytes } from "node:crypto";
import { closeSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Duplex } from "node:stream";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ImageStore } from "#images/image-store.ts";
import {
  type ContainerSpec,
  type ContainerState,
  type LinuxResources,
  type Sandbox,
  type SandboxSpec,
} from "#kubelet/container-runtime.ts";
import type { ContainerUsage, PodRef, ProcessStreams } from "#kubelet/provider.ts";
import { signalProcess } from "#linux/processes.ts";
import { type Listeners, loadListeners } from "#linux/listeners.ts";
import type { ContainerRecord } from "#runtime/container-record.ts";
import type { CagingEngine } from "#runtime/runtime-engine.ts";
import type { SandboxRecord } from "#runtime/sandboxes.ts";
import { RuntimeFailure } from "#runtime/settings.ts";
import { attachToContainer, connectInside } from "#runtime/streams.ts";
import { asContainerError, sandboxOf, stateOf } from "#providers/engine-words.ts";
import { PodConnections } from "#providers/pod-connections.ts";
import type { RuntimeOfClass } from "#providers/runtime-classes.ts";
import { type Cage, type CageParts, makeCage, type NameFiles, writeNames } from "./cage.ts";
import { CodeReader, portOf } from "./code-reader.ts";
import { appendLog, LoadFailure, LoadTimeout } from "./control.ts";
import type { IsolateCode } from "./loader.ts";
import { inlineImage } from "./inline-image.ts";
import { acceptedHere, connectionsOf, Lingering } from "./linger.ts";
import { LoadedAhead } from "./loaded-ahead.ts";
import { ReadyPool } from "./ready-pool.ts";
import { checkContainer, checkSandbox, terminationFile } from "./refusals.ts";

/** Where isolates of one node live. The folders are theirs alone; addresses are shared with the node's other pods. */
export type IsolatesRuntimeOptions = {
  readonly images: ImageStore;
  /** Opens what cages processes here, and takes over what runs from before. */
  readonly openEngine: () => Promise<CagingEngine>;
  /** Where this node's control groups go: "/nodeless-default". */
  readonly cgroupParent: string;
  /** Finds workerd and prepares its configuration; called once, with the first isolate. */
  readonly prepare: () => Promise<Omit<CageParts, "engine" | "listeners">>;
  /** How many processes wait for pods. */
  readonly poolSize: number;
  /** Absent: isolates ask the resolvers of their pod. */
  readonly names?: NameFiles | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Name of the log of a container's first attempt, for which processes are started ahead. */
const firstLog = "0.log";
/** As of a program that ends because it throws. */
const faultExitCode = 1;

/** Runs isolates on this machine, a workerd process each. */
export class IsolatesRuntime implements RuntimeOfClass {
  readonly #options: IsolatesRuntimeOptions;
  #engine: CagingEngine | undefined;
  #listeners: Listeners | undefined;
  #parts: Promise<CageParts> | undefined;
  #listener: (state: ContainerState) => void = () => {};
  /** Ids of sandboxes by pod uid. */
  readonly #sandboxIds = new Map<string, string>();
  /** Processes that have no code yet, by sandbox id. */
  readonly #fresh = new Map<string, Cage>();
  readonly #making = new Map<string, Promise<SandboxRecord>>();
  readonly #connections = new PodConnections();
  readonly #lingering: Lingering;
  readonly #code: CodeReader;
  readonly #pool: ReadyPool<Cage>;
  readonly #ahead: LoadedAhead;

  constructor(options: IsolatesRuntimeOptions) {
    this.#options = options;
    this.#code = new CodeReader(options.images);
    this.#lingering = new Lingering(options.clock);
    this.#pool = new ReadyPool({
      size: options.poolSize,
      make: () => this.#makeReady(),
      isInUse: () => this.#sandboxIds.size > 0,
      isBusy: () => this.#ahead.isWaiting,
      isAlive: (cage) => this.#isWaiting(cage),
      discard: (cage) => this.#discard(cage),
      clock: options.clock,
      logger: options.logger,
    });
    this.#ahead = new LoadedAhead({
      take: () => this.#pool.take(),
      load: (cage, code, resources, signal) => this.#loadAhead(cage, code, resources, signal),
      discard: (cage) => this.#discard(cage),
      clock: options.clock,
      logger: options.logger,
    });
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
      else this.#bound(record);
      // The agent before may have died while it moved its socket.
      if (engine.containers.find(record.id)?.phase === "running")
        signalProcess(engine.containers.runningProcess(record.id), "SIGCONT");
    }
    for (const { settings } of engine.sandboxes.list()) {
      const spec = settings.attachment as SandboxSpec | undefined;
      if (spec) this.#sandboxIds.set(spec.pod.uid, settings.id);
      else await engine.sandboxes.remove(settings.id);
    }
  }

  async stop(): Promise<void> {
    if (!this.#engine) return;
    await Promise.all([this.#pool.stop(), this.#ahead.stop()]);
    this.#engine.close();
    this.#engine = undefined;
  }

  /** Whether the pod's sandbox is here. */
  hasPod(uid: string): boolean {
    return this.#sandboxIds.has(uid) || this.#making.has(uid);
  }

  prepareLike(pod: Pick<PodRef, "namespace" | "name">): void {
    if (this.#engine) this.#ahead.prepare(pod);
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
    const { uid } = spec.pod;
    const making = this.#making.get(uid) ?? this.#takeSandbox(spec);
    this.#making.set(uid, making);
    try {
      return sandboxOf(await making);
    } catch (error) {
      throw asContainerError(error);
    } finally {
      this.#making.delete(uid);
    }
  }

  async removeSandbox(pod: PodRef): Promise<void> {
    await this.#making.get(pod.uid)?.catch(() => {});
    const id = this.#sandboxIds.get(pod.uid);
    if (id === undefined) return;
    this.#connections.end(pod.uid);
    await this.#removeAll(id);
    this.#sandboxIds.delete(pod.uid);
  }

  listSandboxes(): Promise<readonly Sandbox[]> {
    const all = this.#running().sandboxes.list();
    return Promise.resolve(all.filter(({ settings }) => settings.attachment !== undefined).map(sandboxOf));
  }

  async startContainer(spec: ContainerSpec, signal: AbortSignal): Promise<ContainerState> {
    signal.throwIfAborted();
    this.#pool.postpone();
    checkContainer(spec);
    const code = await this.#code.read(spec, (await this.#cageParts()).workerd.compatibilityDate);
    try {
      const cage = await this.#takeCage(spec, code);
      return stateOf(await this.#load(cage, spec, code, signal));
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
    const id = this.#sandboxIds.get(pod.uid);
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
    const record = sandboxes.find(this.#sandboxIds.get(pod.uid) ?? "");
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

  async #takeSandbox(spec: SandboxSpec): Promise<SandboxRecord> {
    const { sandboxes } = this.#running();
    const known = this.#sandboxIds.get(spec.pod.uid);
    const present = known === undefined ? undefined : sandboxes.find(known);
    if (present) return sandboxes.ensure(present.settings);
    const cage = this.#ahead.take(spec.pod) ?? this.#pool.take() ?? (await this.#makeReady());
    const { hostname, domainname, sysctls, resources: limits } = spec;
    const record = sandboxes.assign(cage.sandboxId, { hostname, domainname, sysctls, limits, attachment: spec });
    this.#fresh.set(cage.sandboxId, cage);
    try {
      boundMemory(limits, (bounds) => sandboxes.setLimits(cage.sandboxId, bounds));
    } catch (error) {
      await this.#removeAll(cage.sandboxId);
      throw error;
    }
    this.#sandboxIds.set(spec.pod.uid, cage.sandboxId);
    return record;
  }

  /** A sandbox of nobody yet, with a process in it that waits for code. */
  async #makeReady(): Promise<Cage> {
    const { sandboxes } = this.#running();
    const parts = await this.#cageParts();
    const id = `isolate-${randomBytes(8).toString("hex")}`;
    await sandboxes.ensure({
      id,
      hostname: "isolate",
      sysctls: {},
      hostNetwork: false,
      hostPid: false,
      hostIpc: false,
      sharedPid: false,
      cgroupPath: `${this.#options.cgroupParent}/${id}`,
      limits: {},
      attachment: undefined,
    });
    try {
      const logs = join(sandboxes.folder(id), "logs");
      mkdirSync(logs, { mode: 0o700 });
      return await makeCage(parts, id, "ready", join(logs, firstLog));
    } catch (error) {
      await this.#removeAll(id);
      throw error;
    }
  }

  /** The process that waits in the pod's sandbox, or a new one: for further containers, and after an end. */
  async #takeCage(spec: ContainerSpec, code: IsolateCode): Promise<Cage> {
    const sandboxId = this.#sandboxIds.get(spec.pod.uid);
    if (sandboxId === undefined) throw new RuntimeFailure("create", `the pod ${spec.pod.name} has no sandbox`);
    const fresh = this.#fresh.get(sandboxId);
    this.#fresh.delete(sandboxId);
    const isFit = fresh !== undefined && this.#ahead.fits(fresh, code);
    if (isFit && basename(spec.logPath) === firstLog && this.#isWaiting(fresh)) return fresh;
    if (fresh) {
      letGo(fresh);
      await this.#running().containers.remove(fresh.containerId);
    }
    return makeCage(await this.#cageParts(), sandboxId, `${spec.name}-${spec.attempt}`, spec.logPath);
  }

  async #load(cage: Cage, spec: ContainerSpec, code: IsolateCode, signal: AbortSignal): Promise<ContainerRecord> {
    const { engine, listeners } = await this.#cageParts();
    const { containers } = engine;
    const { containerId: id } = cage;
    try {
      boundMemory(spec.resources, (bounds) => containers.setLimits(id, bounds));
      const sent = Promise.withResolvers<void>();
      const begun = this.#ahead.loading(cage);
      const loading = begun ?? outcomeOf(cage.control.load(code, sent.resolve, signal));
      // While the engine works on it, so do we. Who comes to the port before it has the code waits for it.
      if (begun === undefined) await Promise.race([sent.promise, loading]);
      try {
        containers.moveLog(id, spec.logPath);
        writeNames(engine, id, spec, this.#options.names);
        setOutOfMemoryScore(containers.runningProcess(id).pid, spec.oomScoreAdj, engine.machine.sysResource);
        this.#listenAt(listeners, cage, portOf(spec));
      } catch (error) {
        // One that died of its code has run; that is told below. One without a port dies of that.
        if (error instanceof PortFailure || (await loading) === undefined) throw error;
      }
      const [outcome] = await Promise.all([loading, this.#hold(spec.imageId, id)]);
      // Its process ends in a moment: until then no probe is to find it ready.
      if (outcome !== undefined) listeners.stopListening(cage.listener);
      if (outcome instanceof LoadTimeout) appendLog(spec.logPath, outcome.message);
      if (outcome === undefined) this.#ahead.remember(spec.pod, code, spec.resources);
      return this.#assign(id, spec, outcome);
    } catch (error) {
      await containers.remove(id);
      throw error;
    } finally {
      letGo(cage);
    }
  }

  /** For a pod that is not there yet. */
  async #loadAhead(cage: Cage, code: IsolateCode, resources: LinuxResources, signal: AbortSignal): Promise<unknown> {
    try {
      boundMemory(resources, (bounds) => this.#running().containers.setLimits(cage.containerId, bounds));
    } catch (error) {
      return error;
    }
    return await outcomeOf(cage.control.load(code, () => {}, signal));
  }

  #discard(cage: Cage): Promise<void> {
    letGo(cage);
    return this.#removeAll(cage.sandboxId);
  }

  async #hold(imageId: string, id: string): Promise<void> {
    if (imageId === inlineImage.id) return;
    await this.#options.images.hold(imageId, id, this.#running().containers.folder(id));
  }

  /** The process is the pod's from now on. One whose code did not load ends at once, as a program does that throws; one that died of it has ended already. */
  #assign(id: string, spec: ContainerSpec, fault: unknown): ContainerRecord {
    const { containers } = this.#running();
    const { name, imageId, logPath, resources: limits, stopSignal } = spec;
    const pidsLimit = containers.find(id)?.settings.limits.pidsLimit;
    const assignment = {
      name,
      imageId,
      logPath,
      limits: { ...(pidsLimit !== undefined && { pidsLimit }), ...limits },
      ...(stopSignal !== undefined && { stopSignal }),
      attachment: spec,
    };
    const record = containers.assign(id, assignment);
    // Not on the way of saying that it runs.
    setImmediate(() => this.#bound(record));
    if (fault === undefined) return record;
    const file = terminationFile(spec.mounts);
    if (file !== undefined) writeFileSync(file, (fault as Error).message);
    // Not waited for: that it ended is told like any other end.
    void containers.endWith(id, fault instanceof LoadFailure ? faultExitCode : undefined);
    return record;
  }

  /** Sets the bounds that are written down, of a process and of its pod. The pod may be gone again. */
  #bound({ id, settings }: ContainerRecord): void {
    const engine = this.#engine;
    const sandbox = engine?.sandboxes.find(settings.sandboxId);
    if (!engine || !sandbox) return;
    try {
      engine.containers.setLimits(id, settings.limits);
      engine.sandboxes.setLimits(settings.sandboxId, sandbox.settings.limits);
    } catch (error) {
      this.#options.logger.warn("Could not set the bounds of an isolate", { container: id, error });
    }
  }

  // While it is stopped it does not look at its sockets, so it never sees the moment in which this one does not listen.
  #listenAt(listeners: Listeners, cage: Cage, port: number): void {
    const { networks, sandboxes, containers, ownAddress } = this.#running();
    const sandbox = sandboxes.find(cage.sandboxId);
    if (!sandbox) throw new RuntimeFailure("start", `the sandbox ${cage.sandboxId} is gone`);
    const { listen } = ownAddress(sandbox);
    const process = containers.runningProcess(cage.containerId);
    signalProcess(process, "SIGSTOP");
    try {
      networks.insideNetwork(sandbox.namespaces.key, () => listeners.moveToPort(cage.listener, listen, port));
    } catch (cause) {
      throw new PortFailure("start", `cannot listen at port ${port}: ${(cause as Error).message}`, { cause });
    } finally {
      signalProcess(process, "SIGCONT");
    }
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

  #isWaiting(cage: Cage): boolean {
    return this.#running().containers.find(cage.containerId)?.phase === "running";
  }

  async #removeAll(sandboxId: string): Promise<void> {
    const { sandboxes, containers } = this.#running();
    const fresh = this.#fresh.get(sandboxId);
    if (fresh) letGo(fresh);
    this.#fresh.delete(sandboxId);
    sandboxes.retire(sandboxId);
    const inside = containers.list().filter(({ settings }) => settings.sandboxId === sandboxId);
    await Promise.all(inside.map(({ id }) => containers.remove(id)));
    await sandboxes.remove(sandboxId);
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

/** What went wrong, or undefined. */
function outcomeOf(loading: Promise<void>): Promise<unknown> {
  return loading.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** The port cannot be had. */
class PortFailure extends RuntimeFailure {}

/** Nobody hands code to it any more; the process keeps both sockets. */
function letGo(cage: Cage): void {
  closeSync(cage.listener);
  cage.control.close();
}

/**
 * Sets the bound on memory, and on processes, before the code comes. Those on the processor hold once it is loaded: on a busy machine a pod with the least weight would
 * otherwise wait for its turn to start. Throws {@link RuntimeFailure} where the bound is less than the waiting process has already.
 */
function boundMemory({ memoryLimitBytes, pidsLimit }: LinuxResources, set: (bounds: LinuxResources) => void): void {
  try {
    if (memoryLimitBytes !== undefined) set({ memoryLimitBytes });
    if (pidsLimit !== undefined) set({ pidsLimit });
  } catch (cause) {
    const message = `cannot bound the isolate to ${memoryLimitBytes} bytes of memory, its engine alone needs more`;
    throw new RuntimeFailure("sandbox", message, { cause });
  }
}

// As for containers: without CAP_SYS_RESOURCE nobody may go below what he has.
function setOutOfMemoryScore(pid: number, score: number, mayLower: boolean): void {
  if (mayLower || score >= 0) writeFileSync(`/proc/${pid}/oom_score_adj`, String(score));
}
