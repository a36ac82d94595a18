/**
 * Containers: made, started, stopped, removed, and found again after a restart of the agent. Each step is written down before it is taken and after it is done; what
 * only the processes know (that one ended, say) is asked of them.
 */
import { randomBytes } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ImageStore, StoredImage } from "#images/image-store.ts";
import type { ImageConfig } from "#images/oci.ts";
import type { CgroupLimits, Cgroups, CgroupUsage } from "#linux/cgroups/cgroups.ts";
import type { Libc } from "#linux/libc.ts";
import { mountOverlay, unmount } from "#linux/mounts.ts";
import { heedsSignal, identifyProcess, isRunning, type ProcessIdentity, signalProcess } from "#linux/processes.ts";
import { createUnderConmon, reopenConmonLog, watchConmon } from "./conmon.ts";
import type { MachineCapabilities } from "./machine.ts";
import { buildSpec, chooseArguments } from "./oci-spec.ts";
import type { RecordFolder } from "./records.ts";
import { makeFolderInRoot } from "./rooted-path.ts";
import type { SandboxRecord, Sandboxes } from "./sandboxes.ts";
import { type ContainerAssignment, type ContainerSettings, RuntimeFailure } from "./settings.ts";
import { signalNumber } from "./signals.ts";
import { startCreated } from "./start.ts";
import { resolveUser, verifyNonRoot } from "./user.ts";

/** What is kept on disk of a container. */
export type ContainerRecord = {
  readonly id: string;
  readonly settings: ContainerSettings;
  readonly bootId: string;
  /** "making" until the OCI runtime has created it. */
  readonly phase: "making" | "created" | "running" | "exited";
  readonly cgroupPath: string;
  /** Where conmon opened the log, if it was moved since. */
  readonly openedLogPath?: string;
  readonly createdMs: number;
  readonly startedMs?: number;
  readonly finishedMs?: number;
  readonly exitCode?: number;
  readonly oomKilled?: boolean;
  readonly message?: string;
  readonly container?: ProcessIdentity;
  readonly monitor?: ProcessIdentity;
};

/** Parts that {@link Containers} works with. */
export type ContainerParts = {
  readonly libc: Libc;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly machine: MachineCapabilities;
  readonly cgroups: Cgroups;
  readonly images: ImageStore;
  readonly sandboxes: Sandboxes;
  readonly records: RecordFolder<ContainerRecord>;
  readonly bootId: string;
  readonly runtimeRoot: string;
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

type Watched = {
  readonly stopWatching: () => void;
  readonly ended: Promise<void>;
  readonly resolveEnded: () => void;
  killTimer?: Timer;
  killAtMs?: number;
};

const unknownExitCode = 255;
const killedExitCode = 137;

/** All containers of this node. */
export class Containers {
  readonly #parts: ContainerParts;
  readonly #known = new Map<string, ContainerRecord>();
  readonly #watched = new Map<string, Watched>();
  #listener: (record: ContainerRecord) => void = () => {};
  /** Starts that are under way: who removes such a container waits for them. */
  readonly #starting = new Map<string, Promise<unknown>>();
  /** Exit codes of containers that were killed because they cannot end themselves. */
  readonly #endings = new Map<string, number>();

  constructor(parts: ContainerParts) {
    this.#parts = parts;
  }

  /** Registers the one listener for containers that end. */
  onEnd(listener: (record: ContainerRecord) => void): void {
    this.#listener = listener;
  }

  /** Reads the records and takes over what runs. What was not yet started is removed; what ended meanwhile is noted. */
  async open(): Promise<void> {
    for (const { id, record } of this.#parts.records.list()) {
      if (record) this.#known.set(id, record);
      if (!record || record.phase === "making" || record.phase === "created") await this.#discard(id, record);
      else if (record.phase === "running") this.#adopt(record);
    }
  }

  /** Stops watching; the containers run on. */
  close(): void {
    for (const watched of this.#watched.values()) {
      watched.stopWatching();
      watched.killTimer?.clear();
    }
    this.#watched.clear();
  }

  find(id: string): ContainerRecord | undefined {
    return this.#known.get(id);
  }

  list(): readonly ContainerRecord[] {
    return [...this.#known.values()];
  }

  /** Folder with the container's records, bundle and root file system. */
  folder(id: string): string {
    return this.#parts.records.path(id);
  }

  /** Folder with what the container changed in its root file system. */
  writtenFolder(id: string): string {
    return join(this.folder(id), "upper");
  }

  /** The first process, for entering its namespaces. Throws when the container does not run. */
  runningProcess(id: string): ProcessIdentity {
    const record = this.#known.get(id);
    if (record?.phase !== "running" || !record.container || !isRunning(record.container))
      throw new RuntimeFailure("start", `container ${id} is not running`);
    return record.container;
  }

  /** Resolves when the container has ended; at once when it does not run. */
  waitForEnd(id: string): Promise<void> {
    return this.#watched.get(id)?.ended ?? Promise.resolve();
  }

  /**
   * Makes and starts a container. Its process has the descriptors of `inherit` as 3, 4, …; they stay the caller's. Throws {@link RuntimeFailure}; nothing is left behind then.
   */
  async start(
    settings: ContainerSettings,
    signal: AbortSignal,
    inherit: readonly number[] = [],
  ): Promise<ContainerRecord> {
    const { images, sandboxes, clock, bootId } = this.#parts;
    const image = settings.hasBareRoot ? undefined : await images.find(settings.imageId);
    const sandbox = sandboxes.find(settings.sandboxId);
    if (!sandbox?.isReady) throw new RuntimeFailure("create", `sandbox ${settings.sandboxId} is not ready`);
    if (!image && !settings.hasBareRoot)
      throw new RuntimeFailure("create", `image ${settings.imageId} is not on this machine`);
    const id = randomBytes(32).toString("hex");
    const cgroupPath = `${sandbox.settings.cgroupPath}/${id}`;
    this.#write({ id, settings, bootId, phase: "making", cgroupPath, createdMs: clock.now() });
    try {
      return await this.#watchOver(id, this.#makeAndStart({ id, settings, sandbox, image, inherit }, signal));
    } catch (error) {
      await this.#discard(id, this.#known.get(id));
      if (error instanceof RuntimeFailure) throw error;
      throw new RuntimeFailure("create", (error as Error).message, { cause: error });
    }
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
    await this.#create(plan);
    signal.throwIfAborted();
    return this.#startCreated(plan.id);
  }

  /** Moves the log of a process that was started ahead, with all that it wrote until now. The path's last part must be the same as before. */
  moveLog(id: string, logPath: string): void {
    const record = this.#known.get(id);
    if (!record || record.settings.logPath === logPath) return;
    if (basename(record.settings.logPath) !== basename(logPath))
      throw new RuntimeFailure("start", `the log ${record.settings.logPath} cannot become ${logPath}`);
    renameSync(record.settings.logPath, logPath);
  }

  // conmon opens a log by its first name when it is rotated, and puts the new file there by a rename: so it is the folder that becomes a link.
  #linkLog(id: string): void {
    const { settings, openedLogPath } = this.#known.get(id) ?? {};
    if (!settings || openedLogPath === undefined) return;
    const folder = dirname(openedLogPath);
    if (lstatSync(folder, { throwIfNoEntry: false })?.isSymbolicLink()) return;
    rmSync(folder, { recursive: true, force: true });
    symlinkSync(dirname(settings.logPath), folder);
  }

  /**
   * Gives a running process that was started ahead to who needs it: it counts as started now. Its log must have been moved, and its bounds are set by {@link updateLimits}.
   */
  assign(id: string, assignment: ContainerAssignment): ContainerRecord {
    const record = this.#known.get(id);
    if (record?.startedMs === undefined) throw new RuntimeFailure("start", `container ${id} was not started`);
    // It may have ended while it was being given away.
    const nowMs = record.finishedMs ?? this.#parts.clock.now();
    const settings = { ...record.settings, ...assignment };
    const opened = record.settings.logPath === assignment.logPath ? {} : { openedLogPath: record.settings.logPath };
    return this.#write({ ...record, ...opened, settings, createdMs: nowMs, startedMs: nowMs });
  }

  /** Kills a container, and lets it have ended with this exit code if one is given: for processes that cannot end themselves. Resolves when it has. */
  async endWith(id: string, exitCode?: number): Promise<void> {
    const record = this.#known.get(id);
    const watched = this.#watched.get(id);
    if (record?.phase !== "running" || !watched) return;
    if (exitCode !== undefined) this.#endings.set(id, exitCode);
    this.#kill(id);
    await watched.ended;
  }

  /** Sends the stop signal, then SIGKILL when the grace is over. Resolves when it has ended. */
  async stop(id: string, gracePeriodSeconds: number): Promise<void> {
    const record = this.#known.get(id);
    const watched = this.#watched.get(id);
    if (!record?.container || !watched) return;
    const { clock, images } = this.#parts;
    const killAtMs = clock.now() + gracePeriodSeconds * 1000;
    if (gracePeriodSeconds > 0 && watched.killAtMs === undefined) {
      const image = await images.find(record.settings.imageId);
      signalProcess(record.container, signalNumber(record.settings.stopSignal ?? image?.config.config?.StopSignal));
    }
    if (watched.killAtMs === undefined || killAtMs < watched.killAtMs) {
      watched.killAtMs = killAtMs;
      watched.killTimer?.clear();
      if (gracePeriodSeconds <= 0) this.#kill(id);
      else watched.killTimer = clock.setTimer(gracePeriodSeconds * 1000, () => this.#kill(id));
    }
    await watched.ended;
  }

  /** Kills those that would not notice their stop signal. */
  async stopDeaf(): Promise<void> {
    const running = [...this.#known.values()].filter(({ phase }) => phase !== "exited");
    await Promise.all(
      running.map(async ({ id, container, settings }) => {
        const image = await this.#parts.images.find(settings.imageId);
        const signal = signalNumber(settings.stopSignal ?? image?.config.config?.StopSignal);
        if (container !== undefined && !heedsSignal(container, signal)) await this.stop(id, 0);
      }),
    );
  }

  /** Removes all of an ended container but its log; a running one is killed first. Unknown is success. */
  async remove(id: string): Promise<void> {
    await this.#starting.get(id)?.catch(() => {});
    const record = this.#known.get(id);
    if (!record) return;
    if (this.#watched.has(id)) await this.stop(id, 0);
    await this.#discard(id, record);
  }

  /** Sets bounds without writing them down: they are what the settings say already, or soon will. */
  setLimits(id: string, limits: CgroupLimits): void {
    const record = this.#known.get(id);
    if (record?.phase === "running") this.#parts.cgroups.setLimits(record.cgroupPath, limits);
  }

  updateLimits(id: string, limits: CgroupLimits): void {
    const record = this.#known.get(id);
    if (record?.phase !== "running") throw new RuntimeFailure("start", `container ${id} is not running`);
    this.#parts.cgroups.setLimits(record.cgroupPath, limits);
    this.#write({ ...record, settings: { ...record.settings, limits: { ...record.settings.limits, ...limits } } });
  }

  readUsage(id: string): CgroupUsage | undefined {
    const record = this.#known.get(id);
    return record?.phase === "running" ? this.#parts.cgroups.readUsage(record.cgroupPath) : undefined;
  }

  reopenLog(id: string): void {
    this.runningProcess(id);
    this.#linkLog(id);
    reopenConmonLog(this.folder(id));
  }

  #write(record: ContainerRecord): ContainerRecord {
    this.#parts.records.write(record.id, record);
    this.#known.set(record.id, record);
    return record;
  }

  async #create({ id, settings, sandbox, image, inherit }: Plan): Promise<void> {
    const { libc, machine, runtimeRoot, exitFolder } = this.#parts;
    if (!machine.conmon || !machine.runtime)
      throw new RuntimeFailure("create", "conmon or an OCI runtime is missing on this machine");
    const bundle = this.folder(id);
    const rootfs = image ? this.#mountRoot(bundle, image) : makeBareRoot(bundle);
    const spec = await this.#buildSpec(id, settings, sandbox, image?.config.config ?? {}, rootfs);
    writeFileSync(join(bundle, "config.json"), JSON.stringify(spec), { mode: 0o600 });
    const created = await createUnderConmon(libc, {
      conmon: machine.conmon,
      runtime: machine.runtime.path,
      runtimeRoot,
      id,
      name: settings.name,
      bundle,
      exitFolder,
      logPath: settings.logPath,
      tty: settings.tty,
      stdin: settings.stdin,
      stdinOnce: settings.stdinOnce,
      inherit,
    });
    this.#write({ ...(this.#known.get(id) as ContainerRecord), ...created, phase: "created" });
  }

  #mountRoot(bundle: string, image: StoredImage): string {
    const { libc, images } = this.#parts;
    const [rootfs, upper, work] = ["rootfs", "upper", "work"].map((name) => join(bundle, name)) as [
      string,
      string,
      string,
    ];
    mkdirSync(rootfs, { mode: 0o755 });
    mkdirSync(upper, { mode: 0o755 });
    mkdirSync(work, { mode: 0o700 });
    mountOverlay(libc, rootfs, { lowerFolder: images.layersFolder, lower: [...image.layers].reverse(), upper, work });
    return rootfs;
  }

  async #buildSpec(
    id: string,
    settings: ContainerSettings,
    sandbox: SandboxRecord,
    config: NonNullable<ImageConfig["config"]>,
    rootfs: string,
  ): Promise<Record<string, unknown>> {
    const { machine, sandboxes } = this.#parts;
    const user = resolveUser(rootfs, config.User ?? "", settings.security);
    verifyNonRoot(user, config.User ?? "", settings.security, settings.about ?? `(container: ${settings.name})`);
    const workingDir = settings.workingDir || config.WorkingDir || "/";
    const isMounted = settings.mounts.some((mount) =>
      `${workingDir}/`.startsWith(`${mount.containerPath.replace(/\/+$/, "")}/`),
    );
    if (!isMounted) makeFolderInRoot(rootfs, workingDir);
    const { seccomp } = settings.security;
    const namespaces = sandboxes.namespacePaths(sandbox);
    const target = settings.targetContainer === undefined ? undefined : this.runningProcess(settings.targetContainer);
    return buildSpec({
      container: settings,
      sandbox: sandbox.settings,
      machine,
      rootfs,
      user,
      argv: chooseArguments(settings, config),
      imageEnv: config.Env ?? [],
      workingDir,
      cgroupPath: `${sandbox.settings.cgroupPath}/${id}`,
      namespaces: target ? { ...namespaces, pid: `/proc/${target.pid}/ns/pid` } : namespaces,
      shmFolder: sandboxes.shmFolder(sandbox.settings.id),
      ...(seccomp.type === "Localhost" && {
        localSeccomp: JSON.parse(await readFile(seccomp.path, "utf8")) as unknown,
      }),
    });
  }

  async #startCreated(id: string): Promise<ContainerRecord> {
    const { machine, runtimeRoot, clock } = this.#parts;
    // Written before it starts: from here on a restarted agent must not remove it.
    const record = this.#write({
      ...(this.#known.get(id) as ContainerRecord),
      phase: "running",
      startedMs: clock.now(),
    });
    if (machine.runtime) await startCreated(machine.runtime, runtimeRoot, id);
    this.#watch(id);
    return record;
  }

  #adopt(record: ContainerRecord): void {
    if (record.bootId !== this.#parts.bootId) {
      this.#finish(record, { exitCode: unknownExitCode, message: "the machine was restarted" });
      return;
    }
    this.#watch(record.id);
  }

  #watch(id: string): void {
    const { promise: ended, resolve: resolveEnded } = Promise.withResolvers<void>();
    const stopWatching = watchConmon(this.folder(id), () => void this.#onMonitorEnd(id));
    this.#watched.set(id, { stopWatching, ended, resolveEnded });
  }

  // conmon ends right after it wrote the exit code. Without one, somebody killed it, and the container has lost its streams: it must not run on.
  async #onMonitorEnd(id: string): Promise<void> {
    const record = this.#known.get(id);
    if (record?.phase !== "running") return;
    const exitFile = join(this.#parts.exitFolder, id);
    // conmon lets go of its files a moment before it writes the exit code.
    while (!existsSync(exitFile) && record.monitor && isRunning(record.monitor)) await this.#parts.clock.sleep(1);
    if (!existsSync(exitFile)) {
      this.#parts.logger.warn("Lost the monitor of a container", { container: id, name: record.settings.name });
      await this.#killUntilGone(record);
      this.#finish(record, { exitCode: killedExitCode, message: "the monitor of the container died" });
      return;
    }
    const exitCode = this.#endings.get(id) ?? Number(readFileSync(exitFile, "utf8").trim() || unknownExitCode);
    this.#endings.delete(id);
    // With a process namespace of its own the kernel has killed all others; with a shared one they are still there.
    this.#killAll(record);
    const oomKilled = exitCode === killedExitCode && this.#wasOutOfMemory(record);
    this.#finish(record, { exitCode, oomKilled, finishedMs: Math.round(statSync(exitFile).mtimeMs) });
  }

  #wasOutOfMemory(record: ContainerRecord): boolean {
    return (
      existsSync(join(this.folder(record.id), "oom")) ||
      this.#parts.cgroups.countOutOfMemoryKills(record.cgroupPath) > 0
    );
  }

  #finish(
    record: ContainerRecord,
    how: Partial<Pick<ContainerRecord, "exitCode" | "oomKilled" | "message" | "finishedMs">>,
  ): void {
    const finishedMs = Math.max(how.finishedMs ?? this.#parts.clock.now(), record.startedMs ?? 0);
    const current = this.#known.get(record.id) ?? record;
    const ended = this.#write({ ...current, ...how, finishedMs, phase: "exited" });
    const watched = this.#watched.get(record.id);
    this.#watched.delete(record.id);
    watched?.killTimer?.clear();
    watched?.stopWatching();
    this.#listener(ended);
    watched?.resolveEnded();
  }

  #kill(id: string): void {
    const record = this.#known.get(id);
    if (!record) return;
    if (record.container) signalProcess(record.container, "SIGKILL");
    this.#killAll(record);
  }

  #killAll(record: ContainerRecord): void {
    for (const pid of this.#parts.cgroups.listProcesses(record.cgroupPath)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself in the meantime.
      }
    }
  }

  async #killUntilGone(record: ContainerRecord): Promise<void> {
    for (let waitMs = 1; waitMs < 5000; waitMs *= 2) {
      this.#kill(record.id);
      if (this.#parts.cgroups.listProcesses(record.cgroupPath).length === 0) return;
      await this.#parts.clock.sleep(waitMs);
    }
  }

  // Takes apart whatever there is of a container, however far it had come.
  async #discard(id: string, record: ContainerRecord | undefined): Promise<void> {
    const { libc, images, records, runtimeRoot, exitFolder, cgroups, bootId } = this.#parts;
    if (record && record.bootId === bootId) {
      if (record.phase !== "exited") {
        // The monitor first: it may be about to create what is to be killed.
        const monitor = record.monitor ?? findMonitor(this.folder(id));
        if (monitor) signalProcess(monitor, "SIGKILL");
        await this.#killUntilGone(record);
      }
      this.#killAll(record);
      await this.#removeCgroup(record.cgroupPath, cgroups);
    }
    unmount(libc, join(this.folder(id), "rootfs"));
    rmSync(join(runtimeRoot, id), { recursive: true, force: true });
    rmSync(join(exitFolder, id), { force: true });
    // The record last: as long as it is there, whoever comes after a crash does all of this again.
    if (record?.settings.imageId) await images.release(record.settings.imageId, id);
    await records.remove(id);
    this.#known.delete(id);
  }

  async #removeCgroup(path: string, cgroups: Cgroups): Promise<void> {
    // Killed processes leave their group a moment later.
    for (let waitMs = 1; waitMs < 1000; waitMs *= 2) {
      if (cgroups.remove(path)) return;
      await this.#parts.clock.sleep(waitMs);
    }
    this.#parts.logger.warn("Could not remove a control group", { path });
  }
}

// Nobody writes there but the agent, from outside.
function makeBareRoot(bundle: string): string {
  const rootfs = join(bundle, "rootfs");
  // OCI runtimes put null, zero and the like there, whatever the specification says.
  mkdirSync(join(rootfs, "dev"), { recursive: true, mode: 0o755 });
  return rootfs;
}

// A conmon that was started when the agent ended, before it could be written down.
function findMonitor(bundle: string): ProcessIdentity | undefined {
  let pid: number;
  try {
    pid = Number(readFileSync(join(bundle, "conmon.pid"), "utf8"));
  } catch {
    return undefined;
  }
  const identity = identifyProcess(pid);
  const isOurs = identity !== undefined && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(bundle);
  return isOurs ? identity : undefined;
}
