/**
 * Control groups version 1: a hierarchy per controller, the same path in each. Old machines only.
 */
import { dirname, join } from "node:path";
import type { CgroupLimits, Cgroups, CgroupUsage } from "./cgroups.ts";
import {
  makeFolder,
  numberAfter,
  processesBelow,
  readIfThere,
  removeFolders,
  writeBesideIfThere,
  writeIfThere,
} from "./files.ts";

/** `controllers`: where each controller's hierarchy is mounted. */
export class CgroupsV1 implements Cgroups {
  readonly version = 1;
  readonly #controllers: ReadonlyMap<string, string>;
  readonly #hierarchies: readonly string[];

  constructor(controllers: ReadonlyMap<string, string>) {
    this.#controllers = controllers;
    this.#hierarchies = [...new Set(controllers.values())];
  }

  create(path: string): void {
    for (const hierarchy of this.#hierarchies) makeFolder(join(hierarchy, path));
    this.#inheritCpuset(path);
  }

  setLimits(path: string, limits: CgroupLimits): void {
    const set = (controller: string, file: string, value: number | undefined): void => {
      const folder = this.#controllers.get(controller);
      if (folder !== undefined && value !== undefined) writeIfThere(join(folder, path, file), value);
    };
    set("cpu", "cpu.shares", limits.cpuShares);
    set("cpu", "cpu.cfs_period_us", limits.cpuPeriodMicroseconds);
    set("cpu", "cpu.cfs_quota_us", limits.cpuQuotaMicroseconds);
    set("memory", "memory.limit_in_bytes", limits.memoryLimitBytes);
    set("pids", "pids.max", limits.pidsLimit);
    for (const [size, bytes] of Object.entries(limits.hugepageLimits ?? {}))
      set("hugetlb", `hugetlb.${size}.limit_in_bytes`, bytes);
  }

  readUsage(path: string): CgroupUsage | undefined {
    const usage = this.#read("memory", path, "memory.usage_in_bytes");
    const cpu = this.#read("cpuacct", path, "cpuacct.usage");
    if (usage === undefined && cpu === undefined) return undefined;
    const memoryUsageBytes = Number(usage ?? 0);
    const inactive = numberAfter(this.#read("memory", path, "memory.stat"), "total_inactive_file");
    return {
      cpuUsageNanoseconds: Number(cpu ?? 0),
      memoryUsageBytes,
      memoryWorkingSetBytes: Math.max(0, memoryUsageBytes - inactive),
    };
  }

  countOutOfMemoryKills(path: string): number {
    return numberAfter(this.#read("memory", path, "memory.oom_control"), "oom_kill");
  }

  async addProcess(path: string, pid: number): Promise<void> {
    // One after another: the kernel waits for the first of them only, and at once they would wait for each other.
    for (const hierarchy of this.#hierarchies) await writeBesideIfThere(join(hierarchy, path, "cgroup.procs"), pid);
  }

  listProcesses(path: string): readonly number[] {
    const hierarchy = this.#controllers.get("pids") ?? this.#hierarchies[0];
    return hierarchy === undefined ? [] : processesBelow(join(hierarchy, path));
  }

  remove(path: string): boolean {
    return this.#hierarchies.map((hierarchy) => removeFolders(join(hierarchy, path))).every(Boolean);
  }

  #read(controller: string, path: string, file: string): string | undefined {
    const folder = this.#controllers.get(controller);
    return folder === undefined ? undefined : readIfThere(join(folder, path, file));
  }

  // A new cpuset has no CPUs and takes no process until it gets its parent's.
  #inheritCpuset(path: string): void {
    const root = this.#controllers.get("cpuset");
    if (root === undefined || path === "/" || path === "") return;
    this.#inheritCpuset(dirname(path));
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      if (readIfThere(join(root, path, file)) !== "") continue;
      const inherited = readIfThere(join(root, dirname(path), file));
      if (inherited) writeIfThere(join(root, path, file), inherited);
    }
  }
}
