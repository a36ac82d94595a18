/**
 * Control groups: bounds and counters of groups of processes, whichever version the machine has. Paths are below the root of the hierarchies: "/nodeless/pod1/abc".
 */

/** Bounds. Absent: as it is. */
export type CgroupLimits = {
  /** 2 … 262144, relative to siblings; 1024 is one CPU's worth. */
  readonly cpuShares?: number;
  /** CPU time per period; -1 is unbounded. */
  readonly cpuQuotaMicroseconds?: number;
  readonly cpuPeriodMicroseconds?: number;
  /** -1 is unbounded. */
  readonly memoryLimitBytes?: number;
  readonly pidsLimit?: number;
  /** By page size as the kernel names it: "2MB". */
  readonly hugepageLimits?: Readonly<Record<string, number>>;
};

/** What a group has used. */
export type CgroupUsage = {
  readonly cpuUsageNanoseconds: number;
  readonly memoryUsageBytes: number;
  /** Without the file cache that can be dropped at once. */
  readonly memoryWorkingSetBytes: number;
};

/** The control groups of this machine. All calls but one are short file operations. */
export interface Cgroups {
  readonly version: 1 | 2;
  /** Makes the group and its parents. One that is there is success. */
  create(path: string): void;
  /** Sets bounds. A controller that this machine lacks is skipped. */
  setLimits(path: string, limits: CgroupLimits): void;
  /** Undefined when the group is gone. */
  readUsage(path: string): CgroupUsage | undefined;
  /** How many processes the kernel has killed in this group for lack of memory. */
  countOutOfMemoryKills(path: string): number;
  /** Moves a process, with what it starts from then on, into the group, which must be there and on version 2 have none below it. The kernel takes 10 to 30 ms for it, beside what we do. */
  addProcess(path: string, pid: number): Promise<void>;
  /** All processes in this group and those below. */
  listProcesses(path: string): readonly number[];
  /** Removes the group and those below, which must be without processes. Unknown is success; a busy one stays and gives false. */
  remove(path: string): boolean;
}

/** The weight of cgroup v2 for the shares of v1, as runc and crun count it. */
export function weightOfShares(shares: number): number {
  const bounded = Math.min(262144, Math.max(2, shares));
  return Math.floor(1 + ((bounded - 2) * 9999) / 262142);
}
