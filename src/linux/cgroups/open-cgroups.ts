/**
 * Finds out which version of control groups this machine has: looks at what is mounted. A version 2 mount beside version 1 ("hybrid") carries no controllers and
 * does not count.
 */
import { listMounts, type MountEntry } from "#linux/mounts.ts";
import type { Cgroups } from "./cgroups.ts";
import { CgroupsV1 } from "./v1.ts";
import { CgroupsV2 } from "./v2.ts";

const controllerNames = new Set(
  "cpu cpuacct cpuset memory devices freezer blkio pids hugetlb perf_event net_cls net_prio rdma misc".split(" "),
);

/** The machine's control groups. Throws when none are mounted. */
export function openCgroups(mounts: readonly MountEntry[] = listMounts()): Cgroups {
  const controllers = new Map<string, string>();
  for (const mount of mounts.filter((entry) => entry.type === "cgroup")) {
    for (const option of mount.options) {
      if (controllerNames.has(option) || option.startsWith("name=")) controllers.set(option, mount.target);
    }
  }
  if (controllers.has("memory")) return new CgroupsV1(controllers);
  const unified = mounts.find((entry) => entry.type === "cgroup2");
  if (!unified) throw new Error("no control groups are mounted at /sys/fs/cgroup");
  return new CgroupsV2(unified.target);
}

/** Where a version 2 hierarchy is mounted beside version 1, which crun refuses to work with; undefined when it is not so. */
export function findHybridMount(mounts: readonly MountEntry[] = listMounts()): string | undefined {
  if (!mounts.some((entry) => entry.type === "cgroup" && entry.options.includes("memory"))) return undefined;
  return mounts.find((entry) => entry.type === "cgroup2")?.target;
}
