/**
 * Control groups version 2: one hierarchy, controllers switched on for the children of each group on the way down.
 */
import { join } from "node:path";
import { type CgroupLimits, type Cgroups, type CgroupUsage, weightOfShares } from "./cgroups.ts";
import {
  makeFolder,
  numberAfter,
  processesBelow,
  readIfThere,
  removeFolders,
  writeBesideIfThere,
  writeIfThere,
} from "./files.ts";

const wanted = ["cpu", "memory", "pids", "io", "cpuset", "hugetlb"];

/** `root`: where the hierarchy is mounted, usually /sys/fs/cgroup. */
export class CgroupsV2 implements Cgroups {
  readonly version = 2;
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  create(path: string): void {
    makeFolder(join(this.#root, path));
    const names = path.split("/").filter(Boolean);
    names.forEach((_, depth) => this.#passControllersDown(join(this.#root, ...names.slice(0, depth))));
  }

  setLimits(path: string, limits: CgroupLimits): void {
    const set = (file: string, value: string | number | undefined): void => {
      if (value !== undefined) writeIfThere(join(this.#root, path, file), value);
    };
    if (limits.cpuShares !== undefined) set("cpu.weight", weightOfShares(limits.cpuShares));
    if (limits.cpuQuotaMicroseconds !== undefined || limits.cpuPeriodMicroseconds !== undefined) {
      const quota = limits.cpuQuotaMicroseconds ?? -1;
      set("cpu.max", `${quota < 0 ? "max" : quota} ${limits.cpuPeriodMicroseconds ?? 100_000}`);
    }
    set("memory.max", orMax(limits.memoryLimitBytes));
    set("pids.max", orMax(limits.pidsLimit));
    for (const [size, bytes] of Object.entries(limits.hugepageLimits ?? {})) set(`hugetlb.${size}.max`, bytes);
  }

  readUsage(path: string): CgroupUsage | undefined {
    const cpu = this.#read(path, "cpu.stat");
    if (cpu === undefined) return undefined;
    const memoryUsageBytes = Number(this.#read(path, "memory.current") ?? 0);
    const inactive = numberAfter(this.#read(path, "memory.stat"), "inactive_file");
    return {
      cpuUsageNanoseconds: numberAfter(cpu, "usage_usec") * 1000,
      memoryUsageBytes,
      memoryWorkingSetBytes: Math.max(0, memoryUsageBytes - inactive),
    };
  }

  countOutOfMemoryKills(path: string): number {
    return numberAfter(this.#read(path, "memory.events"), "oom_kill");
  }

  async addProcess(path: string, pid: number): Promise<void> {
    await writeBesideIfThere(join(this.#root, path, "cgroup.procs"), pid);
  }

  listProcesses(path: string): readonly number[] {
    return processesBelow(join(this.#root, path));
  }

  remove(path: string): boolean {
    return removeFolders(join(this.#root, path));
  }

  #read(path: string, file: string): string | undefined {
    return readIfThere(join(this.#root, path, file));
  }

  #passControllersDown(folder: string): void {
    const present = new Set(readIfThere(join(folder, "cgroup.controllers"))?.split(" "));
    const passed = new Set(readIfThere(join(folder, "cgroup.subtree_control"))?.split(" "));
    const missing = wanted.filter((name) => present.has(name) && !passed.has(name));
    // One by one: a single refused controller would undo all of a common write.
    for (const name of missing) {
      try {
        writeIfThere(join(folder, "cgroup.subtree_control"), `+${name}`);
      } catch {
        // A controller that cannot be passed on has no effect below; its limits are skipped there.
      }
    }
  }
}

function orMax(value: number | undefined): string | number | undefined {
  return value !== undefined && value < 0 ? "max" : value;
}
