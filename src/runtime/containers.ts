/**
 * Containers: made, started, stopped, removed, and found again after a restart of the agent. Each step is written down before it is taken and after it is done; what
 * only the processes know (that one ended, say) is asked of them.
 */
import { randomBytes } from "node:crypto";
import { lstatSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ImageStore, StoredImage } from "#images/image-store.ts";
import type { CgroupLimits, Cgroups, CgroupUsage } from "#linux/cgroups/cgroups.ts";
import { heedsSignal, type ProcessIdentity } from "#linux/processes.ts";
import { ContainerKilling } from "./container-killing.ts";
import type { ContainerRecord } from "./container-record.ts";
import { ContainerTable } from "./container-table.ts";
import { ContainerWatch } from "./container-watch.ts";
import type { ProcessMaker } from "./process-maker.ts";
import type { RecordFolder } from "./records.ts";
import type { SandboxRecord, Sandboxes } from "./sandboxes.ts";
import { type ContainerAssignment, type ContainerSettings, RuntimeFailure } from "./settings.ts";
import { signalNumber } from "./signals.ts";

/** Parts that {@link Containers} works with. */
export type ContainerParts = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly maker: ProcessMaker;
  readonly cgroups: Cgroups;
  readonly images: ImageStore;
  readonly sandboxes: Pick<Sandboxes, "find">;
  readonly records: RecordFolder<ContainerRecord>;
  readonly bootId: string;
  readonly exitFolder: string;
};

/** A container that is about to be made. Without an image its root is bare. */
type Plan = {
  readonly id: string;
  readonly settings: ContainerSettings;
  readonly sandbox: SandboxRecord;
  readonly image: StoredImage | undefined;
  readonly inherit: readonly number[];
};

/** A container that was made, and whose process could not be started: it has ended, and stays until it is removed. */
export class NotStarted extends Error {
  readonly kind = "NotStarted";
  readonly record: ContainerRecord;
  constructor(record: ContainerRecord, cause: RuntimeFailure) {
    super(cause.message, { cause });
    this.record = record;
  }
}

/** Of a container whose process could not be started. As containerd's. */
const startFailed = { exitCode: 128, reason: "StartError" } as const;
/** Longest time for making one container, as the kubelet's --runtime-request-timeout. */
const createLimitMs = 120_000;
/** The same when nobody wants it any more. */
const unwantedLimitMs = 5000;

/** All containers of this node. */
export class Containers {
  readonly #parts: ContainerParts;
  readonly #table: ContainerTable;
  readonly #killing: ContainerKilling;
  readonly #watch: ContainerWatch;
  /** Starts that are under way: who removes such a container waits for them. */
  readonly #starting = new Map<string, Promise<unknown>>();

  constructor(parts: ContainerParts) {
    this.#parts = parts;
    this.#table = new ContainerTable(parts.records, parts.logger);
    this.#killing = new ContainerKilling(parts);
    this.#watch = new ContainerWatch({ ...parts, table: this.#table, killing: this.#killing });
  }

  /** Registers the one listener for containers that end. */
  onEnd(listener: (record: ContainerRecord) => void): void {
    this.#watch.onEnd(listener);
  }

  /** Reads the records and takes over what runs. What was not yet started is removed; what ended meanwhile is noted. */
  async open(): Promise<void> {
    for (const { id, record } of this.#table.read()) {
      if (!record || record.phase === "making" || record.phase === "created") await this.#discard(id, record);
      else if (record.phase === "running") this.#watch.adopt(record);
    }
  }

  /** Stops watching; the containers run on. */
  close(): void {
    this.#table.flush();
    this.#watch.close();
    this.#parts.maker.close();
  }

  find(id: string): ContainerRecord | undefined {
    return this.#table.find(id);
  }

  list(): readonly ContainerRecord[] {
    return this.#table.list();
  }

  /** Folder with the container's records, bundle and root file system. */
  folder(id: string): string {
    return this.#table.folder(id);
  }

  /** Folder with what the container changed in its root file system. */
  writtenFolder(id: string): string {
    return this.#table.writtenFolder(id);
  }

  /** The first process, for entering its namespaces. Throws when the container does not run. */
  runningProcess(id: string): ProcessIdentity {
    return this.#table.running(id).process;
  }

  /** Resolves when the container has ended; at once when it does not run. */
  waitForEnd(id: string): Promise<void> {
    return this.#watch.waitForEnd(id);
  }

  /**
   * Makes and starts a container. Its process has the descriptors of `inherit` as 3, 4, …; they stay the caller's. Throws {@link RuntimeFailure}; nothing is left behind then.
   */
  async start(
    settings: ContainerSettings,
    signal: AbortSignal,
    inherit: readonly number[] = [],
  ): Promise<ContainerRecord> {
    return await this.#begin(settings, signal, { inherit, keepsFailed: false });
  }

  /** As {@link start}; but when all went well until its process was to run, the container is kept. Throws {@link NotStarted} then. */
  async startOrKeep(settings: ContainerSettings, signal: AbortSignal): Promise<ContainerRecord> {
    return await this.#begin(settings, signal, { inherit: [], keepsFailed: true });
  }

  async #begin(
    settings: ContainerSettings,
    signal: AbortSignal,
    { inherit, keepsFailed }: { readonly inherit: readonly number[]; readonly keepsFailed: boolean },
  ): Promise<ContainerRecord> {
    const { images, sandboxes, clock, bootId } = this.#parts;
    const image = settings.hasBareRoot ? undefined : await images.find(settings.imageId);
    const sandbox = sandboxes.find(settings.sandboxId);
    if (!sandbox?.isReady) throw new RuntimeFailure("create", `sandbox ${settings.sandboxId} is not ready`);
    if (!image && !settings.hasBareRoot)
      throw new RuntimeFailure("create", `image ${settings.imageId} is not on this machine`);
    const id = randomBytes(32).toString("hex");
    const cgroupPath = `${sandbox.settings.cgroupPath}/${id}`;
    this.#table.write({ id, settings, bootId, phase: "making", cgroupPath, createdMs: clock.now() });
    try {
      return await this.#watchOver(id, this.#makeAndStart({ id, settings, sandbox, image, inherit }, signal));
    } catch (error) {
      const record = this.#table.find(id);
      if (keepsFailed && record && isOfStart(error) && !signal.aborted) {
        throw new NotStarted(await this.#watchOver(id, this.#keepFailed(record, error)), error);
      }
      await this.#discard(id, record);
      if (error instanceof RuntimeFailure) throw error;
      throw new RuntimeFailure("create", (error as Error).message, { cause: error });
    }
  }

  /** What was begun of its process is taken apart; the record, and what the user may ask for, stays. */
  async #keepFailed(record: ContainerRecord, { message }: RuntimeFailure): Promise<ContainerRecord> {
    await this.#killing.takeApart(record, this.folder(record.id));
    const current = this.#table.find(record.id) ?? record;
    const finishedMs = this.#parts.clock.now();
    return this.#table.write({ ...current, ...startFailed, startedMs: 0, finishedMs, message, phase: "exited" });
  }

  async #watchOver<T>(id: string, work: Promise<T>): Promise<T> {
    this.#starting.set(id, work);
    try {
      return await work;
    } finally {
      this.#starting.delete(id);
    }
  }

  async #makeAndStart(plan: Plan, signal: AbortSignal): Promise<ContainerRecord> {
    signal.throwIfAborted();
    if (plan.image) await this.#parts.images.hold(plan.image.id, plan.id, this.folder(plan.id));
    await this.#create(plan, signal);
    signal.throwIfAborted();
    return this.#startCreated(plan.id);
  }

  /** Moves the log of a process that was started ahead, with all that it wrote until now. The path's last part must be the same as before. */
  moveLog(id: string, logPath: string): void {
    const record = this.#table.find(id);
    if (!record || record.settings.logPath === logPath) return;
    if (basename(record.settings.logPath) !== basename(logPath))
      throw new RuntimeFailure("start", `the log ${record.settings.logPath} cannot become ${logPath}`);
    renameSync(record.settings.logPath, logPath);
  }

  // conmon opens a log by its first name when it is rotated, and puts the new file there by a rename: so it is the folder that becomes a link.
  #linkLog(id: string): void {
    const { settings, openedLogPath } = this.#table.find(id) ?? {};
    if (!settings || openedLogPath === undefined) return;
    const folder = dirname(openedLogPath);
    if (lstatSync(folder, { throwIfNoEntry: false })?.isSymbolicLink()) return;
    rmSync(folder, { recursive: true, force: true });
    symlinkSync(dirname(settings.logPath), folder);
  }

  /**
   * Gives a running process that was started ahead to who needs it: it counts as started now. Its log must have been moved, and its bounds are set by {@link updateLimits}.
   * It is written down in the next turn: an agent that dies before finds a process of nobody.
   */
  assign(id: string, assignment: ContainerAssignment): ContainerRecord {
    const record = this.#table.find(id);
    if (record?.startedMs === undefined) throw new RuntimeFailure("start", `container ${id} was not started`);
    // It may have ended while it was being given away.
    const nowMs = record.finishedMs ?? this.#parts.clock.now();
    const settings = { ...record.settings, ...assignment };
    const opened = record.settings.logPath === assignment.logPath ? {} : { openedLogPath: record.settings.logPath };
    return this.#table.writeSoon({ ...record, ...opened, settings, createdMs: nowMs, startedMs: nowMs });
  }

  /** Kills a container, and lets it have ended with this exit code if one is given: for processes that cannot end themselves. Resolves when it has. */
  async endWith(id: string, exitCode?: number): Promise<void> {
    await this.#watch.endWith(id, exitCode);
  }

  /** Sends the stop signal, then SIGKILL when the grace is over. Resolves when it has ended. */
  async stop(id: string, gracePeriodSeconds: number): Promise<void> {
    await this.#watch.stop(id, gracePeriodSeconds, (record) => this.#stopSignal(record));
  }

  async #stopSignal({ settings }: ContainerRecord): Promise<number> {
    const image = await this.#parts.images.find(settings.imageId);
    return signalNumber(settings.stopSignal ?? image?.config.config?.StopSignal);
  }

  /** Kills those that would not notice their stop signal. */
  async stopDeaf(): Promise<void> {
    const running = this.list().filter(({ phase }) => phase !== "exited");
    await Promise.all(
      running.map(async (record) => {
        const signal = await this.#stopSignal(record);
        if (record.container !== undefined && !heedsSignal(record.container, signal)) await this.stop(record.id, 0);
      }),
    );
  }

  /** Removes all of an ended container but its log; a running one is killed first. Unknown is success. */
  async remove(id: string): Promise<void> {
    await this.#starting.get(id)?.catch(() => {}); // told to whoever started it
    const record = this.#table.find(id);
    if (!record) return;
    if (this.#watch.has(id)) await this.stop(id, 0);
    await this.#discard(id, record);
  }

  /** Sets bounds without writing them down: they are what the settings say already, or soon will. */
  setLimits(id: string, limits: CgroupLimits): void {
    const record = this.#table.find(id);
    if (record?.phase === "running") this.#parts.cgroups.setLimits(record.cgroupPath, limits);
  }

  updateLimits(id: string, limits: CgroupLimits): void {
    const record = this.#table.find(id);
    if (record?.phase !== "running") throw new RuntimeFailure("start", `container ${id} is not running`);
    this.#parts.cgroups.setLimits(record.cgroupPath, limits);
    this.#table.write({
      ...record,
      settings: { ...record.settings, limits: { ...record.settings.limits, ...limits } },
    });
  }

  readUsage(id: string): CgroupUsage | undefined {
    const record = this.#table.find(id);
    return record?.phase === "running" ? this.#parts.cgroups.readUsage(record.cgroupPath) : undefined;
  }

  reopenLog(id: string): void {
    const { record } = this.#table.running(id);
    this.#linkLog(id);
    this.#parts.maker.reopenLog(record, this.folder(id));
  }

  async #create({ id, sandbox, image, inherit }: Plan, signal: AbortSignal): Promise<void> {
    const { maker, exitFolder } = this.#parts;
    const record = this.#table.find(id) as ContainerRecord;
    const making = maker.create({ record, sandbox, image, folder: this.folder(id), exitFolder, inherit });
    const created = await this.#inTime(making, signal);
    this.#table.write({ ...(this.#table.find(id) as ContainerRecord), ...created, phase: "created" });
  }

  /** Some who are killed while they make a container leave others waiting for ever: who started all of this gives up, and then all of it is taken away. */
  async #inTime<T>(making: Promise<T>, signal: AbortSignal): Promise<T> {
    const { clock } = this.#parts;
    const { promise: late, reject } = Promise.withResolvers<never>();
    const giveUp = () => reject(new RuntimeFailure("create", "the OCI runtime did not answer in time"));
    const timers = [clock.setTimer(createLimitMs, giveUp)];
    const onAbort = () => void timers.push(clock.setTimer(unwantedLimitMs, giveUp));
    signal.addEventListener("abort", onAbort, { once: true });
    making.catch(() => {}); // when it is given up, its end is nobody's business any more
    try {
      return await Promise.race([making, late]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      for (const timer of timers) timer.clear();
    }
  }

  async #startCreated(id: string): Promise<ContainerRecord> {
    const { maker, clock } = this.#parts;
    // Written before it starts: from here on a restarted agent must not remove it.
    const record = this.#table.write({
      ...(this.#table.find(id) as ContainerRecord),
      phase: "running",
      startedMs: clock.now(),
    });
    await maker.start(id);
    this.#watch.begin(id);
    return record;
  }

  // Takes apart whatever there is of a container, however far it had come.
  async #discard(id: string, record: ContainerRecord | undefined): Promise<void> {
    const { maker, images, exitFolder, bootId } = this.#parts;
    if (record && record.bootId === bootId) await this.#killing.takeApart(record, this.folder(id));
    maker.discard(id, this.folder(id));
    rmSync(join(exitFolder, id), { force: true });
    // The record last: as long as it is there, whoever comes after a crash does all of this again.
    if (record?.settings.imageId) await images.release(record.settings.imageId, id);
    await this.#table.remove(id);
  }
}

function isOfStart(error: unknown): error is RuntimeFailure {
  return error instanceof RuntimeFailure && error.step === "start";
}
