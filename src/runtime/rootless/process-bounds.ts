/**
 * Bounds and counters of processes where there are no control groups. Memory is looked at, and who has more than allowed is killed, the largest of a group first; CPU time is counted and
 * not bounded. The paths are those of control groups: "/…/SANDBOX/CONTAINER".
 */
import { readFileSync } from "node:fs";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { CgroupLimits, Cgroups, CgroupUsage } from "#linux/cgroups/cgroups.ts";
import { isRunning, type ProcessIdentity, signalProcess } from "#linux/processes.ts";

/** A process that belongs to a group. */
export type BoundProcess = { readonly cgroupPath: string; readonly process: ProcessIdentity };

export type ProcessBoundsOptions = {
  /** All processes that run. */
  readonly processes: () => readonly BoundProcess[];
  readonly clock: Clock;
};

const pageBytes = 4096;
const nanosecondsPerTick = 10_000_000;
/** As quickly as memory is filled by one thread, per millisecond: the nearer a bound, the sooner it is looked at again. */
const bytesPerMs = 2 ** 20;
const shortestWaitMs = 10;
const longestWaitMs = 200;

/** Watches while anything is bounded. */
export class ProcessBounds implements Cgroups {
  readonly version = 2;
  readonly #options: ProcessBoundsOptions;
  /** Bytes by path. */
  readonly #bounds = new Map<string, number>();
  readonly #killed = new Set<string>();
  #timer: Timer | undefined;

  constructor(options: ProcessBoundsOptions) {
    this.#options = options;
  }

  create(): void {
    // A group is a path and nothing else.
  }

  /** Throws when the group has more memory than it may have from now on. */
  setLimits(path: string, { memoryLimitBytes }: CgroupLimits): void {
    if (memoryLimitBytes === undefined) return;
    if (memoryLimitBytes < 0) return void this.#bounds.delete(path);
    const used = this.readUsage(path)?.memoryUsageBytes ?? 0;
    if (used > memoryLimitBytes) throw new Error(`${path} uses ${used} bytes of memory, more than ${memoryLimitBytes}`);
    this.#bounds.set(path, memoryLimitBytes);
    this.#lookIn(shortestWaitMs);
  }

  readUsage(path: string): CgroupUsage | undefined {
    const usages = this.#members(path).map(({ process: { pid } }) => usageOf(pid));
    if (usages.length === 0) return undefined;
    const sum = (field: keyof CgroupUsage) => usages.reduce((total, usage) => total + usage[field], 0);
    return {
      cpuUsageNanoseconds: sum("cpuUsageNanoseconds"),
      memoryUsageBytes: sum("memoryUsageBytes"),
      memoryWorkingSetBytes: sum("memoryWorkingSetBytes"),
    };
  }

  countOutOfMemoryKills(path: string): number {
    return this.#killed.has(path) ? 1 : 0;
  }

  addProcess(): Promise<void> {
    throw new Error("processes belong to the group that they were made in");
  }

  /** What a process starts ends with it: in its namespace it is the first one. */
  listProcesses(): readonly number[] {
    return [];
  }

  remove(path: string): boolean {
    this.#bounds.delete(path);
    this.#killed.delete(path);
    return true;
  }

  close(): void {
    this.#timer?.clear();
    this.#bounds.clear();
  }

  #members(path: string): readonly BoundProcess[] {
    return this.#options.processes().filter(({ cgroupPath }) => `${cgroupPath}/`.startsWith(`${path}/`));
  }

  #lookIn(waitMs: number): void {
    this.#timer?.clear();
    this.#timer = this.#options.clock.setTimer(waitMs, () => {
      this.#timer = undefined;
      if (this.#bounds.size > 0) this.#lookIn(this.#look());
    });
  }

  /** Gives how long all bounds will hold at least. */
  #look(): number {
    let spare = Number.POSITIVE_INFINITY;
    for (const [path, members] of this.#boundMembers()) {
      const bound = this.#bounds.get(path) ?? Number.POSITIVE_INFINITY;
      const used = members.reduce((total, { bytes }) => total + bytes, 0);
      if (used > bound) this.#kill(members.toSorted((a, b) => b.bytes - a.bytes)[0]?.member);
      spare = Math.min(spare, Math.abs(bound - used));
    }
    return Math.max(shortestWaitMs, Math.min(longestWaitMs, spare / bytesPerMs));
  }

  /** Who is in each bounded group, and how much each has: every process is asked once. */
  #boundMembers(): ReadonlyMap<string, readonly { readonly member: BoundProcess; readonly bytes: number }[]> {
    const groups = new Map<string, { readonly member: BoundProcess; readonly bytes: number }[]>();
    for (const member of this.#options.processes()) {
      const paths = groupsOf(member.cgroupPath).filter((path) => this.#bounds.has(path));
      if (paths.length === 0) continue;
      const entry = { member, bytes: memoryOf(member.process.pid) };
      for (const path of paths) groups.set(path, [...(groups.get(path) ?? []), entry]);
    }
    return groups;
  }

  #kill(member: BoundProcess | undefined): void {
    if (!member || !isRunning(member.process)) return;
    this.#killed.add(member.cgroupPath);
    signalProcess(member.process, "SIGKILL");
  }
}

/** "/a/b/c", "/a/b", "/a". */
function groupsOf(path: string): string[] {
  const end = path.lastIndexOf("/");
  return end > 0 ? [path, ...groupsOf(path.slice(0, end))] : [path];
}

function usageOf(pid: number): CgroupUsage {
  const memory = memoryOf(pid);
  return { cpuUsageNanoseconds: cpuTimeOf(pid), memoryUsageBytes: memory, memoryWorkingSetBytes: memory };
}

/** What is the process's own; pages of files belong to all who read them. */
function memoryOf(pid: number): number {
  const [, resident = 0, shared = 0] = readIfThere(`/proc/${pid}/statm`).split(" ").map(Number);
  return (resident - shared) * pageBytes;
}

function cpuTimeOf(pid: number): number {
  const stat = readIfThere(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * nanosecondsPerTick;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return ""; // it has ended
  }
}
