/**
 * Sandboxes: what the containers of a group share. Each has a record on disk before anything of it exists, so that a restarted agent finds all that there is.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { Cgroups } from "#linux/cgroups/cgroups.ts";
import type { Libc } from "#linux/libc.ts";
import { mountTmpfs, unmount } from "#linux/mounts.ts";
import type { NamespaceType } from "#linux/namespaces.ts";
import { identifyProcess, isRunning, type ProcessIdentity, signalProcess } from "#linux/processes.ts";
import type { AddressPool } from "./addresses.ts";
import type { MachineCapabilities } from "./machine.ts";
import type { RecordFolder } from "./records.ts";
import { runProgram } from "./run-program.ts";
import { type SandboxNamespaces, type SandboxNetworks } from "./sandbox-network.ts";
import { RuntimeFailure, type SandboxSettings } from "./settings.ts";

/** What is kept on disk. `isReady` is written last. */
export type SandboxRecord = {
  readonly settings: SandboxSettings;
  readonly bootId: string;
  readonly createdMs: number;
  readonly namespaces: SandboxNamespaces;
  readonly pause?: ProcessIdentity;
  readonly isReady: boolean;
};

/** Parts that a {@link Sandboxes} works with. */
export type SandboxParts = {
  readonly libc: Libc;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly machine: MachineCapabilities;
  readonly cgroups: Cgroups;
  readonly records: RecordFolder<SandboxRecord>;
  readonly networks: SandboxNetworks;
  readonly addresses: AddressPool;
  readonly bootId: string;
  /** Where the OCI runtime keeps its state. */
  readonly runtimeRoot: string;
};

/** All sandboxes of this node. */
export class Sandboxes {
  readonly #parts: SandboxParts;
  readonly #known = new Map<string, SandboxRecord>();

  constructor(parts: SandboxParts) {
    this.#parts = parts;
  }

  /** Reads the records. What is half-made or of another boot stays known as not ready until it is removed; pins that no record names are removed. */
  open(): void {
    const { records, networks, addresses, bootId } = this.#parts;
    for (const { id, record } of records.list()) {
      if (!record) {
        rmSync(records.path(id), { recursive: true, force: true });
        continue;
      }
      const isAlive =
        record.bootId === bootId && record.isReady && isPauseAlive(record) && networks.areThere(record.namespaces);
      this.#known.set(id, { ...record, isReady: isAlive });
      if (record.bootId === bootId && record.namespaces.address) addresses.note(record.namespaces.address);
    }
    // Namespaces of another boot ended with it, and their addresses are free: a pin by such a name is nobody's.
    const ofThisBoot = [...this.#known.values()].filter((record) => record.bootId === bootId);
    const named = new Set(ofThisBoot.map((record) => record.namespaces.key));
    for (const key of networks.listKeys()) if (!named.has(key)) networks.remove(key);
  }

  /** Nothing that was done is left unwritten. */
  close(): void {
    this.#parts.records.flush();
  }

  find(id: string): SandboxRecord | undefined {
    return this.#known.get(id);
  }

  list(): readonly SandboxRecord[] {
    return [...this.#known.values()];
  }

  /** Holds the record; what else is in it goes with the sandbox. */
  folder(id: string): string {
    return this.#parts.records.path(id);
  }

  /** Folder that is mounted at /dev/shm of all containers. */
  shmFolder(id: string): string {
    return join(this.#parts.records.path(id), "shm");
  }

  /** Paths of the namespaces that containers join; absent ones are the machine's. */
  namespacePaths(record: SandboxRecord): {
    readonly net?: string;
    readonly ipc?: string;
    readonly uts?: string;
    readonly pid?: string;
  } {
    const { key, types } = record.namespaces;
    const pinned = Object.fromEntries(types.map((type) => [type, this.#parts.networks.path(key, type)]));
    return { ...pinned, ...(record.pause && { pid: `/proc/${record.pause.pid}/ns/pid` }) };
  }

  /** Makes a sandbox, or gives the one that is there. Throws {@link RuntimeFailure}; nothing is left behind then. */
  async ensure(settings: SandboxSettings): Promise<SandboxRecord> {
    const present = this.#known.get(settings.id);
    if (present?.isReady) return present;
    if (present) throw new RuntimeFailure("sandbox", `sandbox ${settings.id} is not ready and must be removed first`);
    try {
      return await this.#make(settings);
    } catch (error) {
      await this.remove(settings.id).catch((cleanup: unknown) => {
        this.#parts.logger.warn("Could not clean up a sandbox", { sandbox: settings.id, error: cleanup });
      });
      if (error instanceof RuntimeFailure) throw error;
      throw new RuntimeFailure("sandbox", (error as Error).message, { cause: error });
    }
  }

  /** Gives a sandbox that was made ahead to who needs it: names, kernel settings, bounds and attachment become those of `settings`; id, namespaces and control group stay. Bounds are set by {@link setLimits}. Written down in the next turn. */
  assign(
    id: string,
    settings: Pick<SandboxSettings, "hostname" | "domainname" | "sysctls" | "limits" | "attachment">,
  ): SandboxRecord {
    const record = this.#known.get(id);
    if (!record?.isReady) throw new RuntimeFailure("sandbox", `sandbox ${id} is not ready`);
    const { networks, clock, records, logger } = this.#parts;
    networks.configure(record.namespaces, settings);
    const assigned = { ...record, createdMs: clock.now(), settings: { ...record.settings, ...settings } };
    this.#known.set(id, assigned);
    records.writeSoon(id, assigned, (error) => {
      logger.warn("Could not write the record of a sandbox", { sandbox: id, error });
    });
    return assigned;
  }

  /** Sets bounds without writing them down: they are what the settings say already. Unknown is success. */
  setLimits(id: string, limits: SandboxSettings["limits"]): void {
    const record = this.#known.get(id);
    if (record) this.#parts.cgroups.setLimits(record.settings.cgroupPath, limits);
  }

  /** New bounds for all containers of a sandbox together. Unknown is success. */
  updateLimits(id: string, limits: SandboxSettings["limits"]): void {
    const record = this.#known.get(id);
    if (!record) return;
    this.#parts.cgroups.setLimits(record.settings.cgroupPath, limits);
    this.#write({ ...record, settings: { ...record.settings, limits: { ...record.settings.limits, ...limits } } });
  }

  /** From now on no container is started in it: the first step of removing it. Unknown is success. */
  retire(id: string): void {
    const record = this.#known.get(id);
    if (record) this.#known.set(id, { ...record, isReady: false });
  }

  /** Removes a sandbox whose containers are gone. Unknown is success. */
  async remove(id: string): Promise<void> {
    const record = this.#known.get(id);
    if (!record) return;
    const { libc, networks, addresses, records, bootId } = this.#parts;
    if (record.bootId === bootId) {
      // Also one that no record names: a crash may have come while it was made.
      if (hasPause(record.settings)) await this.#removePause(id, record);
      networks.remove(record.namespaces.key);
      await this.#removeCgroup(record.settings.cgroupPath);
    }
    unmount(libc, this.shmFolder(id));
    await records.remove(id);
    this.#known.delete(id);
    if (record.namespaces.address) addresses.giveBack(record.namespaces.address);
  }

  async #make(settings: SandboxSettings): Promise<SandboxRecord> {
    const { libc, clock, networks, addresses, cgroups, bootId } = this.#parts;
    const address = settings.hostNetwork ? undefined : addresses.take();
    const types: NamespaceType[] = [];
    // The host name belongs to the network: with the machine's network goes the machine's name.
    if (!settings.hostNetwork) types.push("net", "uts");
    if (!settings.hostIpc) types.push("ipc");
    const key = address ?? settings.id;
    const intent = {
      settings,
      bootId,
      createdMs: clock.now(),
      namespaces: { key, types, ...(address && { address }) },
      isReady: false,
    };
    this.#write(intent);
    cgroups.create(settings.cgroupPath);
    cgroups.setLimits(settings.cgroupPath, settings.limits);
    if (types.length > 0) networks.make(key, types, address);
    networks.configure(intent.namespaces, settings);
    if (!settings.hostIpc) {
      mkdirSync(this.shmFolder(settings.id), { mode: 0o1777 });
      mountTmpfs(libc, this.shmFolder(settings.id));
    }
    const pause = hasPause(settings) ? await this.#startPause(intent) : undefined;
    const record = { ...intent, ...(pause && { pause }), isReady: true };
    this.#write(record);
    return record;
  }

  #write(record: SandboxRecord): SandboxRecord {
    this.#parts.records.write(record.settings.id, record);
    this.#known.set(record.settings.id, record);
    return record;
  }

  // The first process of a shared process namespace: catatonit, alone in an empty root.
  async #startPause(record: SandboxRecord): Promise<ProcessIdentity> {
    const { machine, records, runtimeRoot } = this.#parts;
    if (!machine.pause || !machine.runtime)
      throw new RuntimeFailure("sandbox", "a shared process namespace needs catatonit, which is not installed");
    const bundle = join(records.path(record.settings.id), "pause");
    const rootfs = join(bundle, "rootfs");
    for (const name of ["proc", "dev"]) mkdirSync(join(rootfs, name), { recursive: true });
    const spec = pauseSpec(rootfs, machine.pause, record, this.namespacePaths(record));
    writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
    const pidFile = join(bundle, "pid");
    const arguments_ = [
      "--root",
      runtimeRoot,
      "run",
      "--detach",
      "--bundle",
      bundle,
      "--pid-file",
      pidFile,
      pauseName(record.settings.id),
    ];
    await runProgram(machine.runtime.path, arguments_);
    const identity = identifyProcess(Number(readFileSync(pidFile, "utf8")));
    if (!identity)
      throw new RuntimeFailure("sandbox", "the first process of the shared process namespace ended at once");
    return identity;
  }

  async #removePause(id: string, record: SandboxRecord): Promise<void> {
    const { machine, runtimeRoot, cgroups, logger } = this.#parts;
    if (record.pause) signalProcess(record.pause, "SIGKILL");
    if (machine.runtime && existsSync(join(runtimeRoot, pauseName(id)))) {
      const arguments_ = ["--root", runtimeRoot, "delete", "--force", pauseName(id)];
      await runProgram(machine.runtime.path, arguments_).catch((error: unknown) => {
        logger.warn("Could not delete the pause container", { sandbox: id, error });
      });
    }
    // What the OCI runtime does not know, because it was killed itself.
    for (const pid of cgroups.listProcesses(pauseCgroup(record.settings))) {
      const identity = identifyProcess(pid);
      if (identity) signalProcess(identity, "SIGKILL");
    }
    rmSync(join(runtimeRoot, pauseName(id)), { recursive: true, force: true });
    await this.#removeCgroup(pauseCgroup(record.settings));
  }

  async #removeCgroup(path: string): Promise<void> {
    const { cgroups, clock, logger } = this.#parts;
    // Killed processes leave their group a moment later.
    for (let waitMs = 1; waitMs < 1000; waitMs *= 2) {
      if (cgroups.remove(path)) return;
      await clock.sleep(waitMs);
    }
    logger.warn("Could not remove a control group", { path });
  }
}

/** Whether a process of ours stands first in the process namespace that its containers share. */
function hasPause({ sharedPid, hostPid }: SandboxSettings): boolean {
  return sharedPid && !hostPid;
}

function pauseCgroup({ cgroupPath }: SandboxSettings): string {
  return `${cgroupPath}/pause`;
}

function isPauseAlive(record: SandboxRecord): boolean {
  return record.pause === undefined || isRunning(record.pause);
}

function pauseName(sandboxId: string): string {
  return `pause-${sandboxId}`;
}

function pauseSpec(
  rootfs: string,
  program: string,
  record: SandboxRecord,
  paths: { readonly net?: string; readonly ipc?: string; readonly uts?: string },
): Record<string, unknown> {
  const joined = Object.entries({ network: paths.net, ipc: paths.ipc, uts: paths.uts }).flatMap(([type, path]) =>
    path ? [{ type, path }] : [],
  );
  return {
    ociVersion: "1.0.2",
    process: {
      user: { uid: 0, gid: 0 },
      args: ["/pause", "-P"],
      env: [],
      cwd: "/",
      noNewPrivileges: true,
      capabilities: {},
    },
    root: { path: rootfs, readonly: true },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      {
        destination: "/dev",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=64k"],
      },
      { destination: "/pause", type: "bind", source: program, options: ["bind", "ro"] },
    ],
    linux: {
      namespaces: [{ type: "pid" }, { type: "mount" }, ...joined],
      cgroupsPath: pauseCgroup(record.settings),
      resources: { devices: [{ allow: false, access: "rwm" }] },
    },
  };
}
