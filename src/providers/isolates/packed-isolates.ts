/**
 * The container runtime contract for isolates that share processes: pods of one namespace and one service account, up to sixteen in a process. Each has an address, a port, a log, a
 * status, an end and a restart of its own; memory, processor and the engine are all of theirs together. See docs/guides/isolates.md for what that means.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Duplex } from "node:stream";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ImageStore } from "#images/image-store.ts";
import type {
  ContainerSpec,
  ContainerState,
  LinuxResources,
  Sandbox,
  SandboxSpec,
} from "#kubelet/container-runtime.ts";
import type { ContainerUsage, PodRef, ProcessStreams } from "#kubelet/provider.ts";
import type { ContainerRecord } from "#runtime/container-record.ts";
import type { RecordFolder } from "#runtime/records.ts";
import type { RuntimeEngine } from "#runtime/runtime-engine.ts";
import { RuntimeFailure } from "#runtime/settings.ts";
import { attachToContainer, connectInside } from "#runtime/streams.ts";
import { asContainerError, sandboxOf } from "#providers/engine-words.ts";
import { PodConnections } from "#providers/pod-connections.ts";
import type { RuntimeOfClass } from "#providers/runtime-classes.ts";
import type { CageParts } from "./cage.ts";
import { CodeReader, portOf } from "./code-reader.ts";
import { appendLog, LoadFailure, LoadTimeout } from "./control.ts";
import type { IsolateCode } from "./loader.ts";
import { inlineImage } from "./inline-image.ts";
import type { PackProcess, PackRecord } from "./pack-process.ts";
import { type Pack, Packs } from "./packs.ts";
import { acceptedHere, Lingering } from "./linger.ts";
import { checkContainer, checkPackedContainer, checkSandbox, resolverOf, terminationFile } from "./refusals.ts";

export type PackedIsolatesOptions = {
  readonly images: ImageStore;
  readonly openEngine: () => Promise<RuntimeEngine>;
  /** What is known of packs and of the containers in them. */
  readonly packs: RecordFolder<PackRecord>;
  readonly containers: RecordFolder<PackedContainer>;
  readonly cgroupParent: string;
  readonly prepare: () => Promise<Omit<CageParts, "engine" | "listeners">>;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** What is kept on disk of a container. */
export type PackedContainer = {
  readonly state: ContainerState;
  readonly pack: string;
  readonly place: number;
  /** Of what was loaded, and of its messages. */
  readonly name: string;
  readonly tag: string;
};

const faultExitCode = 1;
const killedExitCode = 137;
/** How long connections are watched for the moment between two requests in which they can be ended. */
const keptPatienceMs = 2_000;
const keptStepMs = 20;
/** Beyond the grace: an isolate that never ends its turn lets nobody else have one. */
const unloadPatienceMs = 3_000;

/** Runs isolates on this machine, many in a process. */
export class PackedIsolates implements RuntimeOfClass {
  readonly #options: PackedIsolatesOptions;
  readonly #code: CodeReader;
  readonly #packs: Packs;
  readonly #pods = new Map<string, { readonly pack: Pack; readonly place: number }>();
  readonly #making = new Map<string, Promise<Sandbox>>();
  readonly #containers = new Map<string, PackedContainer>();
  /** Those whose code is being loaded: they count where bounds are added up. */
  readonly #loading = new Set<PackedContainer>();
  readonly #ends = new Map<string, PromiseWithResolvers<void>>();
  readonly #connections = new PodConnections();
  readonly #lingering: Lingering;
  #listener: (state: ContainerState) => void = () => {};

  constructor(options: PackedIsolatesOptions) {
    this.#options = options;
    this.#code = new CodeReader(options.images);
    this.#lingering = new Lingering(options.clock);
    this.#packs = new Packs({ ...options, records: options.packs, isInUse: () => this.#pods.size > 0 });
  }

  /** Takes over what runs; what waited for pods is removed. */
  async start(): Promise<void> {
    await this.#packs.start({
      logsOf: (pack) => this.#containersOf(pack).map(({ tag, state }) => ({ tag, path: state.spec.logPath })),
      onDied: (pack, ended) => this.#onDied(pack, ended),
    });
    for (const pack of this.#packs.all())
      for (const [place, { pod }] of pack.record.places.entries()) if (pod) this.#pods.set(pod.uid, { pack, place });
    for (const { id, record } of this.#options.containers.list()) {
      if (record && this.#packs.find(record.pack)) this.#adoptContainer(record);
      else await this.#options.containers.remove(id);
    }
    await this.#packs.settle();
  }

  async stop(): Promise<void> {
    if (!this.#packs.isStarted) return;
    await this.#packs.stop();
    this.#options.containers.flush();
  }

  hasPod(uid: string): boolean {
    return this.#pods.has(uid) || this.#making.has(uid);
  }

  hasContainer(id: string): boolean {
    return this.#containers.has(id);
  }

  async version(): Promise<{ readonly name: string; readonly version: string }> {
    const { workerd } = await this.#packs.parts();
    return { name: "workerd", version: workerd.compatibilityDate };
  }

  async ensureSandbox(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> {
    signal.throwIfAborted();
    checkSandbox(spec);
    const { uid } = spec.pod;
    const making = this.#making.get(uid) ?? this.#takePlace(spec);
    this.#making.set(uid, making);
    try {
      return await making;
    } catch (error) {
      throw asContainerError(error);
    } finally {
      this.#making.delete(uid);
    }
  }

  async removeSandbox(pod: PodRef): Promise<void> {
    await this.#making.get(pod.uid)?.catch(() => {});
    const found = this.#pods.get(pod.uid);
    if (!found) return;
    this.#connections.end(pod.uid);
    const own = [...this.#containers.values()].filter(({ state }) => state.pod.uid === pod.uid);
    await Promise.all(own.map(({ state }) => this.removeContainer(state.id)));
    await this.#packs.freePlace(found.pack, found.place);
    this.#pods.delete(pod.uid);
    await this.#packs.removeIfEmpty(found.pack);
  }

  async listSandboxes(): Promise<readonly Sandbox[]> {
    return [...this.#pods.values()].flatMap(({ pack, place }) => {
      const record = this.#packs.sandboxAt(pack, place);
      return record?.settings.attachment === undefined ? [] : [sandboxOf(record)];
    });
  }

  async startContainer(spec: ContainerSpec, signal: AbortSignal): Promise<ContainerState> {
    signal.throwIfAborted();
    this.#packs.postpone();
    checkContainer(spec);
    const found = this.#pods.get(spec.pod.uid);
    const before = [...this.#containers.values()].filter(({ state }) => state.pod.uid === spec.pod.uid);
    checkPackedContainer(spec, {
      others: before.map(({ state }) => state.name),
      resolver: found?.pack.record.resolver,
    });
    try {
      if (!found) throw new RuntimeFailure("create", `the pod ${spec.pod.name} has no sandbox`);
      const process = await this.#packs.ensureProcess(found.pack, resolverOf(spec));
      return await this.#load(found, process, spec, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      throw asContainerError(error);
    }
  }

  async stopContainer(id: string, gracePeriodSeconds: number): Promise<void> {
    const container = this.#containers.get(id);
    if (container?.state.phase !== "running") return;
    const left = await this.#lingering.wait(id, gracePeriodSeconds, () => this.#connectionsTo(container));
    if (!this.#packs.isStarted) return; // the next agent is told again
    const pack = this.#packs.find(container.pack);
    const process = pack?.process;
    // Timers take whole milliseconds only.
    const graceMs = Math.round(1000 * (pack ? await this.#endKept(pack, container.place, left) : left));
    try {
      const patience = AbortSignal.timeout(graceMs + unloadPatienceMs);
      const isWhole = await process?.control.unload(container.place, container.name, graceMs, patience);
      if (pack && this.#packs.isStarted) this.#packs.endConnections(pack, container.place, "all");
      this.#finish(id, { exitCode: isWhole ? 0 : killedExitCode });
    } catch (error) {
      // It, or one of its neighbours, does not end its turn: nothing but the end of all of them helps.
      this.#options.logger.warn("Killed a pack that did not answer", { pack: container.pack, error });
      if (process) await this.#packs.engine.containers.endWith(process.containerId);
      await this.#ends.get(id)?.promise;
    }
  }

  async removeContainer(id: string): Promise<void> {
    const container = this.#containers.get(id);
    if (!container) return;
    await this.stopContainer(id, 0);
    this.#packs.find(container.pack)?.log?.forget(container.tag);
    if (container.state.spec.imageId !== inlineImage.id)
      await this.#options.images.release(container.state.spec.imageId, id);
    await this.#options.containers.remove(id);
    this.#containers.delete(id);
  }

  listContainers(): Promise<readonly ContainerState[]> {
    return Promise.resolve([...this.#containers.values()].map(({ state }) => state));
  }

  onChange(listener: (state: ContainerState) => void): void {
    this.#listener = listener;
  }

  // Bounds are those of the pack; what a container has is counted there.
  updateSandboxResources(): Promise<void> {
    return Promise.resolve();
  }

  async updateResources(id: string, resources: LinuxResources): Promise<void> {
    const container = this.#containers.get(id);
    if (!container) return;
    const { state } = container;
    const spec = { ...state.spec, resources: { ...state.spec.resources, ...resources } };
    this.#keep({ ...container, state: { ...state, spec } });
    const pack = this.#packs.find(container.pack);
    if (pack) this.#bound(pack);
  }

  exec(): Promise<number> {
    return Promise.reject(new Error("an isolate has no programs that could be run in it"));
  }

  /** Output only: nobody reads what would be sent in. */
  async attach(id: string, streams: ProcessStreams, signal: AbortSignal): Promise<void> {
    const { containers, libc } = this.#packs.engine;
    const container = this.#containers.get(id);
    const process = container && this.#packs.find(container.pack)?.process;
    if (container?.state.phase !== "running" || !process) throw new Error(`container ${id} is not running`);
    const { pid } = containers.runningProcess(process.containerId);
    const { logPath } = container.state.spec;
    const ended = this.#ends.get(id)?.promise ?? Promise.resolve();
    const target = { libc, pid, bundle: dirname(logPath), logPath, socat: "", ended, hasStdin: false };
    await attachToContainer(target, { ...streams, tty: false }, signal);
  }

  async portForward(pod: PodRef, port: number, signal: AbortSignal): Promise<Duplex> {
    const { networks, libc, ownAddress } = this.#packs.engine;
    const found = this.#pods.get(pod.uid);
    const record = found && this.#packs.sandboxAt(found.pack, found.place);
    if (!record?.isReady) throw new Error(`sandbox of pod ${pod.namespace}/${pod.name} is not ready`);
    const enter = <T>(inside: () => T) => networks.insideNetwork(record.namespaces.key, inside);
    return this.#connections.keep(pod.uid, await connectInside(libc, enter, port, signal, ownAddress(record).connect));
  }

  /** The kernel counts for the whole process: each of its pods gets an equal part. */
  usage(): Promise<readonly { readonly pod: PodRef; readonly containers: readonly ContainerUsage[] }[]> {
    const { containers } = this.#packs.engine;
    const all = this.#packs.all().flatMap((pack) => {
      const running = this.#runningIn(pack);
      const used = pack.process && containers.readUsage(pack.process.containerId);
      if (!used) return [];
      const part = (value: number) => Math.round(value / running.length);
      return running.map(({ state }) => {
        const usage = {
          cpuUsageNanoseconds: part(used.cpuUsageNanoseconds),
          memoryUsageBytes: part(used.memoryUsageBytes),
          memoryWorkingSetBytes: part(used.memoryWorkingSetBytes),
        };
        const startTimeMs = state.startedMs ?? state.createdMs;
        return { pod: state.pod, containers: [{ name: state.name, startTimeMs, ...usage }] };
      });
    });
    return Promise.resolve(all);
  }

  async reopenLog(id: string): Promise<void> {
    const container = this.#containers.get(id);
    if (container) this.#packs.find(container.pack)?.log?.reopen(container.tag);
  }

  /** Ends the connections that clients keep open, each between two requests, as far as half of the grace allows; gives what is left of it. */
  async #endKept(pack: Pack, place: number, graceSeconds: number): Promise<number> {
    const { clock } = this.#options;
    const begunMs = clock.now();
    const passedMs = () => clock.now() - begunMs;
    while (passedMs() < Math.min(keptPatienceMs, graceSeconds * 500)) {
      if (!this.#packs.isStarted || this.#packs.endConnections(pack, place, "idle") === 0) break;
      await clock.sleep(keptStepMs);
    }
    return Math.max(graceSeconds - passedMs() / 1000, 0);
  }

  /** Connections that came to its pod until now; none where it has lost its sandbox. */
  #connectionsTo({ pack, place }: PackedContainer): number | undefined {
    const found = this.#packs.isStarted ? this.#packs.find(pack) : undefined;
    const sandbox = found && this.#packs.sandboxAt(found, place);
    if (!sandbox?.isReady) return 0;
    return this.#packs.engine.networks.insideNetwork(sandbox.namespaces.key, acceptedHere);
  }

  /** A place in a pack of the pod's namespace and account, in a new pack where there is none. */
  async #takePlace(spec: SandboxSpec): Promise<Sandbox> {
    const { sandboxes } = this.#packs.engine;
    const known = this.#pods.get(spec.pod.uid);
    const present = known && this.#packs.sandboxAt(known.pack, known.place);
    if (present) return sandboxOf(await sandboxes.ensure(present.settings));
    const { hostname, domainname, sysctls, resources: limits } = spec;
    const settings = { hostname, domainname, sysctls, limits, attachment: spec };
    const owner = `${spec.pod.namespace}/${spec.serviceAccountName}`;
    const { pack, place, assigned } = await this.#packs.takePlace(owner, spec.pod, (id) =>
      sandboxes.assign(id, settings),
    );
    this.#pods.set(spec.pod.uid, { pack, place });
    return sandboxOf(assigned);
  }

  async #load(
    { pack, place }: { readonly pack: Pack; readonly place: number },
    process: PackProcess,
    spec: ContainerSpec,
    signal: AbortSignal,
  ): Promise<ContainerState> {
    const { workerd } = await this.#packs.parts();
    const code = await this.#code.read(spec, workerd.compatibilityDate);
    const nowMs = this.#options.clock.now();
    const container: PackedContainer = {
      state: {
        id: randomBytes(32).toString("hex"),
        pod: spec.pod,
        name: spec.name,
        attempt: spec.attempt,
        spec,
        phase: "running",
        createdMs: nowMs,
        startedMs: nowMs,
      },
      pack: pack.record.id,
      place,
      name: `${spec.pod.uid}-${spec.attempt}-${randomBytes(4).toString("hex")}`,
      tag: randomBytes(16).toString("hex"),
    };
    this.#loading.add(container);
    try {
      return await this.#loadInto(pack, process, container, { ...code, place }, signal);
    } finally {
      this.#loading.delete(container);
    }
  }

  async #loadInto(
    pack: Pack,
    process: PackProcess,
    container: PackedContainer,
    code: IsolateCode & { readonly place: number },
    signal: AbortSignal,
  ): Promise<ContainerState> {
    const { name, tag, state, place } = container;
    const { spec } = state;
    mkdirSync(dirname(spec.logPath), { recursive: true });
    writeFileSync(spec.logPath, "", { flag: "a", mode: 0o640 });
    pack.log?.assign(tag, spec.logPath);
    this.#bound(pack);
    this.#packs.listenAt(pack, process, place, portOf(spec));
    const fault = await process.control
      .load({ ...code, name, tag }, () => {}, signal)
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    const isLost = fault !== undefined && !(fault instanceof LoadFailure);
    if (isLost || fault instanceof LoadTimeout) await this.#endPack(pack, process, fault);
    if (isLost) return this.#onNotLoaded(pack, container, fault);
    if (fault instanceof LoadTimeout) appendLog(spec.logPath, fault.message);
    if (spec.imageId !== inlineImage.id) await this.#options.images.hold(spec.imageId, state.id, dirname(spec.logPath));
    this.#keep(container);
    this.#ends.set(state.id, Promise.withResolvers());
    if (fault instanceof LoadFailure) setImmediate(() => this.#onFault(container, fault));
    return state;
  }

  /** It is busy for ever with what it loads, or nobody waits for that any more: then it has to end, and its neighbours with it. */
  async #endPack(pack: Pack, process: PackProcess, error: unknown): Promise<void> {
    if (pack.process !== process) return;
    this.#options.logger.warn("Killed a pack that did not load", { pack: pack.record.id, error });
    await this.#packs.engine.containers.endWith(process.containerId);
  }

  #onNotLoaded(pack: Pack, container: PackedContainer, cause: unknown): never {
    pack.log?.forget(container.tag);
    throw new RuntimeFailure("start", "the code was not loaded: its pack died of it", { cause });
  }

  #onFault(container: PackedContainer, fault: LoadFailure): void {
    const file = terminationFile(container.state.spec.mounts);
    if (file !== undefined) writeFileSync(file, fault.message);
    this.#finish(container.state.id, { exitCode: faultExitCode });
  }

  /** Bounds of the process: those of all its pods together, of those too that are about to join them. */
  #bound(pack: Pack): void {
    const joining = [...this.#loading].filter((container) => container.pack === pack.record.id);
    const all = new Set([...this.#runningIn(pack), ...joining]);
    this.#packs.bound(
      pack,
      [...all].map(({ state }) => state.spec.resources),
    );
  }

  #finish(id: string, how: Pick<ContainerState, "exitCode" | "oomKilled" | "message">): void {
    const container = this.#containers.get(id);
    if (container?.state.phase !== "running") return;
    const pack = this.#packs.find(container.pack);
    pack?.log?.drain();
    const finishedMs = Math.max(this.#options.clock.now(), container.state.startedMs ?? 0);
    const state = { ...container.state, ...how, finishedMs, phase: "exited" as const };
    this.#keep({ ...container, state });
    if (pack) this.#bound(pack);
    this.#listener(state);
    this.#ends.get(id)?.resolve();
    this.#ends.delete(id);
  }

  #adoptContainer(container: PackedContainer): void {
    const { state } = container;
    this.#containers.set(state.id, container);
    if (state.phase !== "running") return;
    this.#ends.set(state.id, Promise.withResolvers());
  }

  /** With the process all that was in it ends. */
  #onDied(pack: Pack, ended: ContainerRecord | undefined): void {
    const exitCode = ended?.exitCode === undefined || ended.exitCode === 0 ? killedExitCode : ended.exitCode;
    const why = ended?.oomKilled ? { oomKilled: true } : { message: "the process of the pack ended" };
    for (const { state } of this.#runningIn(pack)) this.#finish(state.id, { exitCode, ...why });
  }

  #containersOf(pack: Pack): readonly PackedContainer[] {
    return [...this.#containers.values()].filter((container) => container.pack === pack.record.id);
  }

  #runningIn(pack: Pack): readonly PackedContainer[] {
    return this.#containersOf(pack).filter(({ state }) => state.phase === "running");
  }

  #keep(container: PackedContainer): void {
    const { id } = container.state;
    this.#containers.set(id, container);
    this.#options.containers.writeSoon(id, container, (error) => {
      this.#options.logger.warn("Could not write the record of a container", { container: id, error });
    });
  }
}
