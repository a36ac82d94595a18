/**
 * The container runtime contract for isolates that share processes: pods of one namespace and one service account, up to sixteen in a process. Each has an address, a port, a log, a
 * status, an end and a restart of its own; memory, processor and the engine are all of theirs together. See docs/guides/isolates.md for what that means.
 */
import { randomBytes } from "node:crypto";
import { closeSync, mkdirSync, writeFileSync } from "node:fs";
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
import { type Listeners, loadListeners } from "#linux/listeners.ts";
import { signalProcess } from "#linux/processes.ts";
import type { ContainerRecord } from "#runtime/container-record.ts";
import type { RecordFolder } from "#runtime/records.ts";
import type { RuntimeEngine } from "#runtime/runtime-engine.ts";
import { RuntimeFailure } from "#runtime/settings.ts";
import { attachToContainer, connectInside } from "#runtime/streams.ts";
import { asContainerError, sandboxOf } from "#providers/engine-words.ts";
import { PodConnections } from "#providers/pod-connections.ts";
import type { RuntimeOfClass } from "#providers/runtime-classes.ts";
import { type CageParts, writeResolver } from "./cage.ts";
import { CodeReader, portOf } from "./code-reader.ts";
import { LoadFailure } from "./control.ts";
import { inlineImage } from "./inline-image.ts";
import { limitsOfAll } from "./pack-limits.ts";
import { PackLog } from "./pack-log.ts";
import {
  adoptProcess,
  makeGround,
  type PackProcess,
  type PackRecord,
  packLogPath,
  type Place,
  startProcess,
} from "./pack-process.ts";
import { ReadyPool } from "./ready-pool.ts";
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

/** One pack, with or without a running process. */
type Pack = {
  record: PackRecord;
  process: PackProcess | undefined;
  starting: Promise<PackProcess> | undefined;
  log: PackLog | undefined;
  /** Of its memory now. */
  boundBytes?: number | undefined;
};

const faultExitCode = 1;
const killedExitCode = 137;
const loadPatienceMs = 10_000;
/** Beyond the grace: an isolate that never ends its turn lets nobody else have one. */
const unloadPatienceMs = 3_000;

/** Runs isolates on this machine, many in a process. */
export class PackedIsolates implements RuntimeOfClass {
  readonly #options: PackedIsolatesOptions;
  readonly #code: CodeReader;
  readonly #pool: ReadyPool<Pack>;
  readonly #packs = new Map<string, Pack>();
  readonly #pods = new Map<string, { readonly pack: Pack; readonly place: number }>();
  readonly #making = new Map<string, Promise<Sandbox>>();
  /** Packs that are being made for owners without room. */
  readonly #giving = new Map<string, Promise<void>>();
  readonly #containers = new Map<string, PackedContainer>();
  readonly #ends = new Map<string, PromiseWithResolvers<void>>();
  readonly #connections = new PodConnections();
  #engine: RuntimeEngine | undefined;
  #listeners: Listeners | undefined;
  #parts: Promise<CageParts> | undefined;
  #listener: (state: ContainerState) => void = () => {};

  constructor(options: PackedIsolatesOptions) {
    this.#options = options;
    this.#code = new CodeReader(options.images);
    this.#pool = new ReadyPool({
      size: 1,
      make: () => this.#makePack(),
      isInUse: () => this.#pods.size > 0,
      isAlive: (pack) => pack.process !== undefined,
      discard: (pack) => this.#removePack(pack),
      clock: options.clock,
      logger: options.logger,
    });
  }

  /** Takes over what runs; what waited for pods is removed. */
  async start(): Promise<void> {
    this.#listeners = await loadListeners();
    const engine = await this.#options.openEngine();
    this.#engine = engine;
    engine.containers.onEnd((record) => this.#onProcessEnd(record));
    for (const { id, record } of this.#options.packs.list()) if (record) await this.#adoptPack(id, record);
    for (const { id, record } of this.#options.containers.list()) {
      if (record && this.#packs.has(record.pack)) this.#adoptContainer(record);
      else await this.#options.containers.remove(id);
    }
    await this.#removeStrays(engine);
  }

  async stop(): Promise<void> {
    if (!this.#engine) return;
    await this.#pool.stop();
    for (const pack of this.#packs.values()) this.#leave(pack);
    this.#options.packs.flush();
    this.#options.containers.flush();
    this.#engine.close();
    this.#engine = undefined;
  }

  hasPod(uid: string): boolean {
    return this.#pods.has(uid) || this.#making.has(uid);
  }

  hasContainer(id: string): boolean {
    return this.#containers.has(id);
  }

  async version(): Promise<{ readonly name: string; readonly version: string }> {
    const { workerd } = await this.#cageParts();
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
    await this.#freePlace(found.pack, found.place);
    this.#pods.delete(pod.uid);
    const isEmpty = found.pack.record.places.every((place) => place.pod === undefined);
    if (isEmpty) await this.#removePack(found.pack);
  }

  async listSandboxes(): Promise<readonly Sandbox[]> {
    const { sandboxes } = this.#running();
    return [...this.#pods.values()].flatMap(({ pack, place }) => {
      const record = sandboxes.find(pack.record.places[place]?.sandboxId ?? "");
      return record?.settings.attachment === undefined ? [] : [sandboxOf(record)];
    });
  }

  async startContainer(spec: ContainerSpec, signal: AbortSignal): Promise<ContainerState> {
    signal.throwIfAborted();
    this.#pool.postpone();
    checkContainer(spec);
    const found = this.#pods.get(spec.pod.uid);
    const before = [...this.#containers.values()].filter(({ state }) => state.pod.uid === spec.pod.uid);
    checkPackedContainer(spec, {
      others: before.map(({ state }) => state.name),
      resolver: found?.pack.record.resolver,
    });
    try {
      if (!found) throw new RuntimeFailure("create", `the pod ${spec.pod.name} has no sandbox`);
      const process = await this.#runningProcess(found.pack, spec);
      return await this.#load(found, process, spec, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      throw asContainerError(error);
    }
  }

  async stopContainer(id: string, gracePeriodSeconds: number): Promise<void> {
    const container = this.#containers.get(id);
    if (container?.state.phase !== "running") return;
    const process = this.#packs.get(container.pack)?.process;
    const graceMs = gracePeriodSeconds * 1000;
    try {
      const patience = AbortSignal.timeout(graceMs + unloadPatienceMs);
      const isWhole = await process?.control.unload(container.place, container.name, graceMs, patience);
      this.#finish(id, { exitCode: isWhole ? 0 : killedExitCode });
    } catch (error) {
      // It, or one of its neighbours, does not end its turn: nothing but the end of all of them helps.
      this.#options.logger.warn("Killed a pack that did not answer", { pack: container.pack, error });
      if (process) await this.#running().containers.endWith(process.containerId);
      await this.#ends.get(id)?.promise;
    }
  }

  async removeContainer(id: string): Promise<void> {
    const container = this.#containers.get(id);
    if (!container) return;
    await this.stopContainer(id, 0);
    this.#packs.get(container.pack)?.log?.forget(container.tag);
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
    this.#bound(this.#packs.get(container.pack));
  }

  exec(): Promise<number> {
    return Promise.reject(new Error("an isolate has no programs that could be run in it"));
  }

  /** Output only: nobody reads what would be sent in. */
  async attach(id: string, streams: ProcessStreams, signal: AbortSignal): Promise<void> {
    const { containers, libc } = this.#running();
    const container = this.#containers.get(id);
    const process = container && this.#packs.get(container.pack)?.process;
    if (container?.state.phase !== "running" || !process) throw new Error(`container ${id} is not running`);
    const { pid } = containers.runningProcess(process.containerId);
    const { logPath } = container.state.spec;
    const ended = this.#ends.get(id)?.promise ?? Promise.resolve();
    const target = { libc, pid, bundle: dirname(logPath), logPath, socat: "", ended, hasStdin: false };
    await attachToContainer(target, { ...streams, tty: false }, signal);
  }

  async portForward(pod: PodRef, port: number, signal: AbortSignal): Promise<Duplex> {
    const { sandboxes, networks, libc, ownAddress } = this.#running();
    const found = this.#pods.get(pod.uid);
    const record = found && sandboxes.find(found.pack.record.places[found.place]?.sandboxId ?? "");
    if (!record?.isReady) throw new Error(`sandbox of pod ${pod.namespace}/${pod.name} is not ready`);
    const enter = <T>(inside: () => T) => networks.insideNetwork(record.namespaces.key, inside);
    return this.#connections.keep(pod.uid, await connectInside(libc, enter, port, signal, ownAddress(record).connect));
  }

  /** The kernel counts for the whole process: each of its pods gets an equal part. */
  usage(): Promise<readonly { readonly pod: PodRef; readonly containers: readonly ContainerUsage[] }[]> {
    const { containers } = this.#running();
    const all = [...this.#packs.values()].flatMap((pack) => {
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
    if (container) this.#packs.get(container.pack)?.log?.reopen(container.tag);
  }

  /** A place in a pack of the pod's namespace and account, in a new pack where there is none. */
  async #takePlace(spec: SandboxSpec): Promise<Sandbox> {
    const { sandboxes } = this.#running();
    const known = this.#pods.get(spec.pod.uid);
    const present = known && sandboxes.find(known.pack.record.places[known.place]?.sandboxId ?? "");
    if (present) return sandboxOf(await sandboxes.ensure(present.settings));
    const owner = `${spec.pod.namespace}/${spec.serviceAccountName}`;
    const pack = await this.#makeRoom(owner);
    const place = freePlace(pack);
    const { sandboxId } = pack.record.places[place] as Place;
    const { hostname, domainname, sysctls, resources: limits } = spec;
    const record = sandboxes.assign(sandboxId, { hostname, domainname, sysctls, limits, attachment: spec });
    this.#setPlace(pack, place, { ...(pack.record.places[place] as Place), pod: spec.pod });
    this.#pods.set(spec.pod.uid, { pack, place });
    return sandboxOf(record);
  }

  #findRoom(owner: string): Pack | undefined {
    const { sandboxes } = this.#running();
    return [...this.#packs.values()].find(
      ({ record, process }) =>
        record.owner === owner &&
        // After a reboot, or `nodeless down`, its networks are gone: it ends with the pods that it has.
        sandboxes.find(record.id)?.isReady === true &&
        freePlace({ record, process }) >= 0,
    );
  }

  /** One at a time for each owner: those that come meanwhile find room in what the first is given. */
  async #makeRoom(owner: string): Promise<Pack> {
    for (let pack = this.#findRoom(owner); ; pack = this.#findRoom(owner)) {
      if (pack) return pack;
      const giving = this.#giving.get(owner) ?? this.#givePack(owner).finally(() => this.#giving.delete(owner));
      this.#giving.set(owner, giving);
      await giving;
    }
  }

  async #givePack(owner: string): Promise<void> {
    const pack = this.#pool.take() ?? (await this.#makePack());
    this.#change(pack, { owner });
  }

  async #makePack(): Promise<Pack> {
    const parts = await this.#cageParts();
    const ground = await makeGround(parts, this.#options.cgroupParent);
    const pack: Pack = {
      record: { ...ground, containerId: "", controlPath: "" },
      process: undefined,
      starting: undefined,
      log: undefined,
    };
    this.#packs.set(ground.id, pack);
    try {
      await this.#startIn(pack);
      return pack;
    } catch (error) {
      await this.#removePack(pack);
      throw error;
    }
  }

  async #startIn(pack: Pack): Promise<PackProcess> {
    const parts = await this.#cageParts();
    pack.starting ??= startProcess(parts, pack.record)
      .then((process) => {
        pack.process = process;
        const { containerId, controlPath, sockets } = process;
        // Places may have been taken or spent meanwhile.
        const places = pack.record.places.map((place, index) => ({
          ...place,
          socket: sockets[index] ?? 0,
          port: undefined,
        }));
        this.#change(pack, { containerId, controlPath, places });
        this.#follow(pack, parts);
        return process;
      })
      .finally(() => (pack.starting = undefined));
    return pack.starting;
  }

  #follow(pack: Pack, parts: CageParts): void {
    const { logger } = this.#options;
    const { id } = pack.record;
    pack.log?.stop();
    pack.log = new PackLog({
      path: packLogPath(parts, id),
      reopen: () => this.#running().containers.reopenLog(pack.record.containerId),
      onFailure: (error) => logger.warn("Could not take the log of a pack apart", { pack: id, error }),
    });
    for (const { tag, state } of this.#containersOf(pack)) pack.log.assign(tag, state.spec.logPath);
    pack.log.start();
  }

  async #runningProcess(pack: Pack, spec: ContainerSpec): Promise<PackProcess> {
    const process = pack.process ?? (await this.#startIn(pack));
    const resolver = resolverOf(spec);
    if (pack.record.resolver !== resolver) this.#change(pack, { resolver });
    writeResolver(this.#running(), process.containerId, resolver);
    return process;
  }

  async #load(
    { pack, place }: { readonly pack: Pack; readonly place: number },
    process: PackProcess,
    spec: ContainerSpec,
    signal: AbortSignal,
  ): Promise<ContainerState> {
    const { workerd } = await this.#cageParts();
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
    const { name, tag, state } = container;
    mkdirSync(dirname(spec.logPath), { recursive: true });
    writeFileSync(spec.logPath, "", { flag: "a", mode: 0o640 });
    pack.log?.assign(tag, spec.logPath);
    this.#bound(pack, spec);
    this.#listenAt(pack, process, place, portOf(spec));
    const patience = AbortSignal.any([signal, AbortSignal.timeout(loadPatienceMs)]);
    const fault = await process.control
      .load({ ...code, place, name, tag }, () => {}, patience)
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    if (fault !== undefined && !(fault instanceof LoadFailure))
      return this.#onNotLoaded(pack, process, container, fault);
    if (spec.imageId !== inlineImage.id) await this.#options.images.hold(spec.imageId, state.id, dirname(spec.logPath));
    this.#keep(container);
    this.#ends.set(state.id, Promise.withResolvers());
    if (fault instanceof LoadFailure) setImmediate(() => this.#onFault(container, fault));
    return state;
  }

  /** The process died while it loaded, or is busy for ever with what it loads: then it has to end, and its neighbours with it. */
  async #onNotLoaded(
    pack: Pack,
    process: PackProcess,
    container: PackedContainer,
    fault: unknown,
  ): Promise<ContainerState> {
    const { containers } = this.#running();
    if (pack.process === process) {
      this.#options.logger.warn("Killed a pack that did not load", { pack: pack.record.id, error: fault });
      await containers.endWith(process.containerId);
    }
    pack.log?.forget(container.tag);
    throw new RuntimeFailure("start", `the code was not loaded within ${loadPatienceMs} ms, or its pack died of it`, {
      cause: fault,
    });
  }

  #onFault(container: PackedContainer, fault: LoadFailure): void {
    const file = terminationFile(container.state.spec.mounts);
    if (file !== undefined) writeFileSync(file, fault.message);
    this.#finish(container.state.id, { exitCode: faultExitCode });
  }

  // While the process is stopped it does not look at its sockets, so it never sees the moment in which this one does not listen.
  #listenAt(pack: Pack, process: PackProcess, place: number, port: number): void {
    const { networks, sandboxes, containers, ownAddress } = this.#running();
    const known = pack.record.places[place];
    if (known?.port === port) return;
    if (known?.port !== undefined)
      throw new RuntimeFailure("start", `the port of a packed isolate cannot change from ${known.port} to ${port}`);
    const sandbox = sandboxes.find(known?.sandboxId ?? "");
    if (!known || !sandbox || !this.#listeners) throw new RuntimeFailure("start", "the pod has no sandbox");
    const identity = containers.runningProcess(process.containerId);
    const { listen } = ownAddress(sandbox);
    const listener = process.listeners[place];
    if (listener === undefined) throw new RuntimeFailure("start", "the socket of the pod's place is lost");
    signalProcess(identity, "SIGSTOP");
    try {
      networks.insideNetwork(sandbox.namespaces.key, () => this.#listeners?.moveToPort(listener, listen, port));
    } catch (cause) {
      throw new RuntimeFailure("start", `cannot listen at port ${port}: ${(cause as Error).message}`, { cause });
    } finally {
      signalProcess(identity, "SIGCONT");
    }
    this.#setPlace(pack, place, { ...known, port });
  }

  /** Bounds of the process: those of all its pods together. `next` is about to join them. */
  #bound(pack: Pack | undefined, next?: ContainerSpec): void {
    const engine = this.#engine;
    if (!engine || !pack?.process) return;
    const specs = this.#runningIn(pack).map(({ state }) => state.spec.resources);
    const usedBytes = engine.containers.readUsage(pack.process.containerId)?.memoryUsageBytes ?? 0;
    try {
      const { boundBytes } = pack;
      const limits = limitsOfAll(next ? [...specs, next.resources] : specs, { usedBytes, boundBytes });
      pack.boundBytes = limits.memoryLimitBytes === -1 ? undefined : limits.memoryLimitBytes;
      engine.containers.setLimits(pack.process.containerId, limits);
      // Against those of other pods it is the group above that weighs.
      engine.sandboxes.setLimits(pack.record.id, { cpuShares: limits.cpuShares ?? 0 });
    } catch (error) {
      this.#options.logger.warn("Could not set the bounds of a pack", { pack: pack.record.id, error });
    }
  }

  #finish(id: string, how: Pick<ContainerState, "exitCode" | "oomKilled" | "message">): void {
    const container = this.#containers.get(id);
    if (container?.state.phase !== "running") return;
    const pack = this.#packs.get(container.pack);
    pack?.log?.drain();
    const finishedMs = Math.max(this.#options.clock.now(), container.state.startedMs ?? 0);
    const state = { ...container.state, ...how, finishedMs, phase: "exited" as const };
    this.#keep({ ...container, state });
    this.#bound(pack);
    this.#listener(state);
    this.#ends.get(id)?.resolve();
    this.#ends.delete(id);
  }

  /** With the process all that was in it ends. */
  #onProcessEnd(record: ContainerRecord): void {
    const pack = [...this.#packs.values()].find(({ process }) => process?.containerId === record.id);
    if (!pack) return;
    this.#letGo(pack);
    pack.process = undefined;
    const exitCode = record.exitCode === 0 ? killedExitCode : (record.exitCode ?? killedExitCode);
    const why = record.oomKilled ? { oomKilled: true } : { message: "the process of the pack ended" };
    for (const { state } of this.#runningIn(pack)) this.#finish(state.id, { exitCode, ...why });
    void this.#engine?.containers.remove(record.id).catch((error: unknown) => {
      this.#options.logger.warn("Could not remove the process of a pack", { container: record.id, error });
    });
  }

  async #freePlace(pack: Pack, place: number): Promise<void> {
    const { sandboxes, networks } = this.#running();
    const { sandboxId } = pack.record.places[place] as Place;
    const address = sandboxes.find(sandboxId)?.namespaces.address;
    // The process keeps the socket, and with it the network, until it ends: nobody is to come there any more.
    if (address !== undefined) networks.disconnect(address);
    this.#setPlace(pack, place, { sandboxId, isSpent: true });
    await sandboxes.remove(sandboxId);
  }

  async #removePack(pack: Pack): Promise<void> {
    const { sandboxes, containers } = this.#running();
    const { id, containerId, places } = pack.record;
    this.#letGo(pack);
    pack.process = undefined;
    pack.log?.stop();
    pack.log = undefined;
    this.#packs.delete(id);
    if (containerId !== "") await containers.remove(containerId);
    for (const place of places) if (!place.isSpent) await sandboxes.remove(place.sandboxId);
    await sandboxes.remove(id);
    await this.#options.packs.remove(id);
  }

  /** The process keeps its sockets. */
  #letGo({ process }: Pack): void {
    if (!process) return;
    for (const fd of process.listeners) if (fd !== undefined) closeSync(fd);
    process.control.close();
  }

  #leave(pack: Pack): void {
    for (const fd of pack.process?.listeners ?? []) if (fd !== undefined) closeSync(fd);
    pack.process?.control.disconnect();
    pack.log?.stop();
  }

  async #adoptPack(id: string, record: PackRecord): Promise<void> {
    const pack: Pack = { record, process: undefined, starting: undefined, log: undefined };
    if (record.owner === undefined || record.places.every(({ pod }) => pod === undefined)) {
      this.#packs.set(id, pack);
      return this.#removePack(pack);
    }
    this.#packs.set(id, pack);
    const parts = await this.#cageParts();
    const isRunning = parts.engine.containers.find(record.containerId)?.phase === "running";
    for (const [place, { pod }] of record.places.entries()) if (pod) this.#pods.set(pod.uid, { pack, place });
    if (isRunning) pack.process = adoptProcess(parts, record);
  }

  #adoptContainer(container: PackedContainer): void {
    const { state } = container;
    this.#containers.set(state.id, container);
    if (state.phase !== "running") return;
    this.#ends.set(state.id, Promise.withResolvers());
  }

  async #removeStrays({ sandboxes, containers }: RuntimeEngine): Promise<void> {
    const packs = [...this.#packs.values()];
    const inUse = new Set(packs.map(({ record }) => record.containerId));
    for (const pack of packs) {
      const ended = pack.process ? undefined : containers.find(pack.record.containerId);
      if (pack.process) this.#follow(pack, await this.#cageParts());
      else this.#onDied(pack, ended);
    }
    for (const { id, phase } of containers.list())
      if (!inUse.has(id) || phase === "exited") await containers.remove(id);
    const known = new Set(
      packs.flatMap(({ record }) => [
        record.id,
        ...record.places.filter(({ isSpent }) => !isSpent).map(({ sandboxId }) => sandboxId),
      ]),
    );
    for (const { settings } of sandboxes.list()) if (!known.has(settings.id)) await sandboxes.remove(settings.id);
  }

  // Its process ended while nobody looked.
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

  #change(pack: Pack, changes: Partial<PackRecord>): void {
    pack.record = { ...pack.record, ...changes };
    // One that waits is nobody's: the next agent would remove it.
    if (pack.record.owner === undefined) return;
    this.#options.packs.writeSoon(pack.record.id, pack.record, (error) => {
      this.#options.logger.warn("Could not write the record of a pack", { pack: pack.record.id, error });
    });
  }

  #setPlace(pack: Pack, place: number, value: Place): void {
    this.#change(pack, { places: pack.record.places.with(place, value) });
  }

  async #cageParts(): Promise<CageParts> {
    const engine = this.#running();
    const listeners = this.#listeners as Listeners;
    this.#parts ??= this.#options.prepare().then((prepared) => ({ engine, listeners, ...prepared }));
    // A failure is tried again with the next isolate.
    this.#parts.catch(() => (this.#parts = undefined));
    return this.#parts;
  }

  #running(): RuntimeEngine {
    if (!this.#engine) throw new Error("the packed isolates runtime is not started");
    return this.#engine;
  }
}

/** The first place that takes a pod; -1 where there is none. */
function freePlace({ record, process }: Pick<Pack, "record" | "process">): number {
  return record.places.findIndex(
    ({ pod, isSpent }, index) =>
      pod === undefined && isSpent !== true && (!process || process.listeners[index] !== undefined),
  );
}
