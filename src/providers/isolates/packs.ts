/**
 * Packs: processes with places for many isolates. Makes them before anybody needs them, gives them to owners, starts a process again that has died, moves sockets to ports, sets bounds, and takes packs over from the agent
 * before this one. What runs in the places is {@link PackedIsolates}' business.
 */
import { closeSync, readFileSync } from "node:fs";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { LinuxResources } from "#kubelet/container-runtime.ts";
import type { PodRef } from "#kubelet/provider.ts";
import { type Connections, loadConnections } from "#linux/connections.ts";
import { type Listeners, loadListeners } from "#linux/listeners.ts";
import { signalProcess } from "#linux/processes.ts";
import type { ContainerRecord } from "#runtime/container-record.ts";
import type { RecordFolder } from "#runtime/records.ts";
import type { RuntimeEngine } from "#runtime/runtime-engine.ts";
import type { SandboxRecord } from "#runtime/sandboxes.ts";
import { RuntimeFailure } from "#runtime/settings.ts";
import { type CageParts, writeResolver } from "./cage.ts";
import { type Ending, endConnections } from "./pack-connections.ts";
import { limitsOfAll } from "./pack-limits.ts";
import { PackLog } from "./pack-log.ts";
import {
  adoptProcess,
  makeGround,
  type PackProcess,
  type PackRecord,
  packLogPath,
  type Place,
  socketsOf,
  startProcess,
} from "./pack-process.ts";
import { ReadyPool } from "./ready-pool.ts";

/** What packs are made with. */
export type PacksOptions = {
  readonly openEngine: () => Promise<RuntimeEngine>;
  /** What is known of packs. */
  readonly records: RecordFolder<PackRecord>;
  readonly cgroupParent: string;
  readonly prepare: () => Promise<Omit<CageParts, "engine" | "listeners">>;
  /** Whether anybody uses packs: then one waits for the next owner. */
  readonly isInUse: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** One pack, with or without a running process. */
export type Pack = {
  record: PackRecord;
  process: PackProcess | undefined;
  starting: Promise<PackProcess> | undefined;
  log: PackLog | undefined;
  /** Of its memory now. */
  boundBytes?: number | undefined;
};

/** What runs in packs, which others know. */
export type PackContents = {
  /** Whose lines a pack's log has, and where they go. */
  readonly logsOf: (pack: Pack) => readonly { readonly tag: string; readonly path: string }[];
  /** The process has ended, now or while nobody looked: then no more may be known of its end. */
  readonly onDied: (pack: Pack, ended: ContainerRecord | undefined) => void;
};

/** All packs of a node. */
export class Packs {
  readonly #options: PacksOptions;
  readonly #pool: ReadyPool<Pack>;
  readonly #packs = new Map<string, Pack>();
  /** Packs that are being made for owners without room. */
  readonly #giving = new Map<string, Promise<void>>();
  #engine: RuntimeEngine | undefined;
  #listeners: Listeners | undefined;
  #connections: Connections | undefined;
  #parts: Promise<CageParts> | undefined;
  #contents: PackContents | undefined;

  constructor(options: PacksOptions) {
    this.#options = options;
    this.#pool = new ReadyPool({
      size: 1,
      make: () => this.#make(),
      isInUse: options.isInUse,
      isAlive: (pack) => pack.process !== undefined,
      discard: (pack) => this.remove(pack),
      clock: options.clock,
      logger: options.logger,
    });
  }

  /** Takes over the packs that have pods; those that waited are removed. */
  async start(contents: PackContents): Promise<void> {
    this.#contents = contents;
    this.#listeners = await loadListeners();
    this.#connections = await loadConnections();
    this.#engine = await this.#options.openEngine();
    this.#engine.containers.onEnd((record) => this.#onEnd(record));
    for (const { id, record } of this.#options.records.list()) if (record) await this.#adopt(id, record);
  }

  /** Leaves everything running. */
  async stop(): Promise<void> {
    if (!this.#engine) return;
    await this.#pool.stop();
    for (const pack of this.#packs.values()) leave(pack);
    this.#options.records.flush();
    this.#engine.close();
    this.#engine = undefined;
  }

  get isStarted(): boolean {
    return this.#engine !== undefined;
  }

  /** Throws before the start and after the stop. */
  get engine(): RuntimeEngine {
    if (!this.#engine) throw new Error("the packed isolates runtime is not started");
    return this.#engine;
  }

  all(): readonly Pack[] {
    return [...this.#packs.values()];
  }

  find(id: string): Pack | undefined {
    return this.#packs.get(id);
  }

  /** The sandbox of a place. */
  sandboxAt(pack: Pack, place: number): SandboxRecord | undefined {
    return this.engine.sandboxes.find(pack.record.places[place]?.sandboxId ?? "");
  }

  /** What processes are made with. A failure is tried again by the next caller. */
  async parts(): Promise<CageParts> {
    const { engine } = this;
    const listeners = this.#listeners as Listeners;
    this.#parts ??= this.#options.prepare().then((prepared) => ({ engine, listeners, ...prepared }));
    this.#parts.catch(() => (this.#parts = undefined));
    return this.#parts;
  }

  /** The next pack is made a little later: somebody needs the machine now. */
  postpone(): void {
    this.#pool.postpone();
  }

  /** Gives the pod a free place in a pack of the owner, once `assign` has made the place's sandbox the pod's. One pack at a time is made for each owner: those that come meanwhile find room in it. */
  async takePlace<T>(
    owner: string,
    pod: PodRef,
    assign: (sandboxId: string) => T,
  ): Promise<{ readonly pack: Pack; readonly place: number; readonly assigned: T }> {
    for (let pack = this.#findRoom(owner); ; pack = this.#findRoom(owner)) {
      // In the turn in which the place was seen to be free.
      if (pack) {
        const place = freePlace(pack);
        const free = pack.record.places[place] as Place;
        const assigned = assign(free.sandboxId);
        this.#setPlace(pack, place, { ...free, pod });
        return { pack, place, assigned };
      }
      const giving = this.#giving.get(owner) ?? this.#give(owner).finally(() => this.#giving.delete(owner));
      this.#giving.set(owner, giving);
      await giving;
    }
  }

  #findRoom(owner: string): Pack | undefined {
    const { sandboxes } = this.engine;
    return [...this.#packs.values()].find(
      ({ record, process }) =>
        record.owner === owner &&
        // After a reboot, or `nodeless down`, its networks are gone: it ends with the pods that it has.
        sandboxes.find(record.id)?.isReady === true &&
        freePlace({ record, process }) >= 0,
    );
  }

  async #give(owner: string): Promise<void> {
    const pack = this.#pool.take() ?? (await this.#make());
    this.#change(pack, { owner });
  }

  async #make(): Promise<Pack> {
    const parts = await this.parts();
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
      await this.remove(pack);
      throw error;
    }
  }

  /** The pack's process, started again where it has died, with this text in its resolv.conf. */
  async ensureProcess(pack: Pack, resolver: string): Promise<PackProcess> {
    const process = pack.process ?? (await this.#startIn(pack));
    if (pack.record.resolver !== resolver) this.#change(pack, { resolver });
    writeResolver(this.engine, process.containerId, resolver);
    return process;
  }

  async #startIn(pack: Pack): Promise<PackProcess> {
    const parts = await this.parts();
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

  /** Reads its log from now on. */
  #follow(pack: Pack, parts: CageParts): void {
    const { logger } = this.#options;
    const { id } = pack.record;
    pack.log?.stop();
    pack.log = new PackLog({
      path: packLogPath(parts, id),
      reopen: () => this.engine.containers.reopenLog(pack.record.containerId),
      onFailure: (error) => logger.warn("Could not take the log of a pack apart", { pack: id, error }),
    });
    for (const { tag, path } of this.#contents?.logsOf(pack) ?? []) pack.log.assign(tag, path);
    pack.log.start();
  }

  /** Moves a place's socket to a port. Throws {@link RuntimeFailure}. */
  listenAt(pack: Pack, process: PackProcess, place: number, port: number): void {
    const { networks, sandboxes, containers, ownAddress } = this.engine;
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
    // While the process is stopped it does not look at its sockets, so it never sees the moment in which this one does not listen.
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

  /** Ends connections of a place's pod, which clients may keep open; gives how many it had. */
  endConnections(pack: Pack, place: number, which: Ending): number {
    const { networks, containers, libc } = this.engine;
    const sandbox = this.sandboxAt(pack, place);
    if (!pack.process || !sandbox?.isReady || !this.#connections) return 0;
    if (containers.find(pack.process.containerId)?.phase !== "running") return 0;
    const { pid } = containers.runningProcess(pack.process.containerId);
    const table = networks.insideNetwork(sandbox.namespaces.key, () =>
      readFileSync("/proc/thread-self/net/tcp", "utf8"),
    );
    return endConnections({ libc, connections: this.#connections, socketsOf }, pid, table, which);
  }

  /** Sets the bounds of a pack's process: what all that is in it may have together. */
  bound(pack: Pack, resources: readonly LinuxResources[]): void {
    const engine = this.#engine;
    if (!engine || !pack.process) return;
    const usedBytes = engine.containers.readUsage(pack.process.containerId)?.memoryUsageBytes ?? 0;
    try {
      const { boundBytes } = pack;
      const limits = limitsOfAll(resources, { usedBytes, boundBytes });
      pack.boundBytes = limits.memoryLimitBytes === -1 ? undefined : limits.memoryLimitBytes;
      engine.containers.setLimits(pack.process.containerId, limits);
      // Against those of other pods it is the group above that weighs.
      engine.sandboxes.setLimits(pack.record.id, { cpuShares: limits.cpuShares ?? 0 });
    } catch (error) {
      this.#options.logger.warn("Could not set the bounds of a pack", { pack: pack.record.id, error });
    }
  }

  #onEnd(ended: ContainerRecord): void {
    const pack = this.all().find(({ process }) => process?.containerId === ended.id);
    if (!pack) return;
    letGo(pack);
    pack.process = undefined;
    this.#contents?.onDied(pack, ended);
    void this.#engine?.containers.remove(ended.id).catch((error: unknown) => {
      this.#options.logger.warn("Could not remove the process of a pack", { container: ended.id, error });
    });
  }

  /** Takes a place out of use for good. */
  async freePlace(pack: Pack, place: number): Promise<void> {
    const { sandboxes, networks } = this.engine;
    const { sandboxId } = pack.record.places[place] as Place;
    const address = sandboxes.find(sandboxId)?.namespaces.address;
    // The process keeps the socket, and with it the network, until it ends: nobody is to come there any more.
    if (address !== undefined) networks.disconnect(address);
    this.#setPlace(pack, place, { sandboxId, isSpent: true });
    await sandboxes.remove(sandboxId);
  }

  /** The last pod takes its pack with it. */
  async removeIfEmpty(pack: Pack): Promise<void> {
    if (pack.record.places.every(({ pod }) => pod === undefined)) await this.remove(pack);
  }

  /** Ends its process and removes all that it has. */
  async remove(pack: Pack): Promise<void> {
    const { sandboxes, containers } = this.engine;
    const { id, containerId, places } = pack.record;
    letGo(pack);
    pack.process = undefined;
    pack.log?.stop();
    pack.log = undefined;
    this.#packs.delete(id);
    if (containerId !== "") await containers.remove(containerId);
    for (const place of places) if (!place.isSpent) await sandboxes.remove(place.sandboxId);
    await sandboxes.remove(id);
    await this.#options.records.remove(id);
  }

  async #adopt(id: string, record: PackRecord): Promise<void> {
    const pack: Pack = { record, process: undefined, starting: undefined, log: undefined };
    if (record.owner === undefined || record.places.every(({ pod }) => pod === undefined)) {
      this.#packs.set(id, pack);
      return this.remove(pack);
    }
    this.#packs.set(id, pack);
    const parts = await this.parts();
    const isRunning = parts.engine.containers.find(record.containerId)?.phase === "running";
    if (!isRunning) return;
    pack.process = adoptProcess(parts, record);
    // The agent before may have died while it moved one of its sockets.
    signalProcess(parts.engine.containers.runningProcess(record.containerId), "SIGCONT");
  }

  /** Follows the logs of what runs, tells of packs whose process is gone, and removes what no pack has. To be called when it is known again what was in them. */
  async settle(): Promise<void> {
    const { sandboxes, containers } = this.engine;
    const packs = this.all();
    for (const pack of packs) {
      const ended = pack.process ? undefined : containers.find(pack.record.containerId);
      if (pack.process) this.#follow(pack, await this.parts());
      else this.#contents?.onDied(pack, ended);
    }
    const inUse = new Set(packs.map(({ record }) => record.containerId));
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

  #change(pack: Pack, changes: Partial<PackRecord>): void {
    pack.record = { ...pack.record, ...changes };
    // One that waits is nobody's: the next agent would remove it.
    if (pack.record.owner === undefined) return;
    this.#options.records.writeSoon(pack.record.id, pack.record, (error) => {
      this.#options.logger.warn("Could not write the record of a pack", { pack: pack.record.id, error });
    });
  }

  #setPlace(pack: Pack, place: number, value: Place): void {
    this.#change(pack, { places: pack.record.places.with(place, value) });
  }
}

/** The process keeps its sockets. */
function letGo({ process }: Pack): void {
  if (!process) return;
  closeListeners(process);
  process.control.close();
}

/** The next agent takes it over. */
function leave({ process, log }: Pack): void {
  if (process) closeListeners(process);
  process?.control.disconnect();
  log?.stop();
}

function closeListeners({ listeners }: PackProcess): void {
  for (const fd of listeners) if (fd !== undefined) closeSync(fd);
}

/** The first place that takes a pod; -1 where there is none. */
function freePlace({ record, process }: Pick<Pack, "record" | "process">): number {
  return record.places.findIndex(
    ({ pod, isSpent }, index) =>
      pod === undefined && isSpent !== true && (!process || process.listeners[index] !== undefined),
  );
}
