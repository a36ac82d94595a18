import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import type { MountEntry } from "#linux/mounts.ts";
import { weightOfShares } from "./cgroups.ts";
import { findHybridMount, openCgroups } from "./open-cgroups.ts";
import { CgroupsV1 } from "./v1.ts";
import { CgroupsV2 } from "./v2.ts";

describe("control groups", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "nodeless-cgroups-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const mount = (type: string, target: string, options: string[] = []): MountEntry => ({
    root: "/",
    target,
    type,
    source: type,
    propagation: [],
    options,
  });

  function put(path: string, text: string): void {
    mkdirSync(join(folder, path, ".."), { recursive: true });
    writeFileSync(join(folder, path), text);
  }

  const get = (path: string) => readFileSync(join(folder, path), "utf8");

  test("a process is moved into its group, on version 1 in each hierarchy", async () => {
    for (const file of ["cpu/own/cgroup.procs", "memory/own/cgroup.procs", "v2/own/cgroup.procs"]) put(file, "");
    const hierarchies = new Map([
      ["cpu", join(folder, "cpu")],
      ["memory", join(folder, "memory")],
    ]);

    await new CgroupsV1(hierarchies).addProcess("/own", 42);
    await new CgroupsV2(join(folder, "v2")).addProcess("/own", 43);

    assert.deepEqual([get("cpu/own/cgroup.procs"), get("memory/own/cgroup.procs")], ["42", "42"]);
    assert.equal(get("v2/own/cgroup.procs"), "43");
  });

  test("the version is seen from the mounts, and a hybrid one is version 1", () => {
    const v1 = mount("cgroup", "/sys/fs/cgroup/memory", ["rw", "memory"]);
    const v2 = mount("cgroup2", "/sys/fs/cgroup");
    const beside = mount("cgroup2", "/sys/fs/cgroup/unified");

    assert.equal(openCgroups([v2]).version, 2);
    assert.equal(openCgroups([v1, beside]).version, 1);
    assert.equal(findHybridMount([v1, beside]), "/sys/fs/cgroup/unified");
    assert.equal(findHybridMount([v2]), undefined);
    assert.throws(() => openCgroups([]), /no control groups/);
  });

  test("shares become weights as crun and runc count them", () => {
    assert.deepEqual([2, 1024, 262144, 0].map(weightOfShares), [1, 39, 10000, 1]);
  });

  test("version 1: limits go to their controllers, and a missing one is skipped", () => {
    for (const file of ["cpu/x/cpu.shares", "cpu/x/cpu.cfs_quota_us", "memory/x/memory.limit_in_bytes"]) put(file, "");
    const cgroups = new CgroupsV1(
      new Map([
        ["cpu", join(folder, "cpu")],
        ["memory", join(folder, "memory")],
      ]),
    );

    cgroups.setLimits("/x", { cpuShares: 512, cpuQuotaMicroseconds: 20000, memoryLimitBytes: 1 << 20, pidsLimit: 10 });

    assert.equal(get("cpu/x/cpu.shares"), "512");
    assert.equal(get("cpu/x/cpu.cfs_quota_us"), "20000");
    assert.equal(get("memory/x/memory.limit_in_bytes"), "1048576");
  });

  test("version 1: a new cpuset gets its parent's processors", () => {
    const root = join(folder, "cpuset");
    put("cpuset/cpuset.cpus", "0-3");
    put("cpuset/cpuset.mems", "0");
    put("cpuset/a/cpuset.cpus", "");
    put("cpuset/a/b/cpuset.cpus", "");

    new CgroupsV1(new Map([["cpuset", root]])).create("/a/b");

    assert.equal(get("cpuset/a/cpuset.cpus"), "0-3");
    assert.equal(get("cpuset/a/b/cpuset.cpus"), "0-3");
  });

  test("version 1: usage leaves out cache that can be dropped", () => {
    put("memory/x/memory.usage_in_bytes", "1000\n");
    put("memory/x/memory.stat", "inactive_file 1\ntotal_inactive_file 400\n");
    put("memory/x/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
    put("cpuacct/x/cpuacct.usage", "77\n");
    const cgroups = new CgroupsV1(
      new Map([
        ["memory", join(folder, "memory")],
        ["cpuacct", join(folder, "cpuacct")],
      ]),
    );

    assert.deepEqual(cgroups.readUsage("/x"), {
      cpuUsageNanoseconds: 77,
      memoryUsageBytes: 1000,
      memoryWorkingSetBytes: 600,
    });
    assert.equal(cgroups.countOutOfMemoryKills("/x"), 2);
    assert.equal(cgroups.readUsage("/gone"), undefined);
  });

  test("version 2: controllers are passed down one by one, limits and usage have their files", () => {
    put("cgroup.controllers", "cpu memory pids");
    put("cgroup.subtree_control", "cpu");
    for (const file of ["a/cpu.weight", "a/cpu.max", "a/memory.max", "a/pids.max"]) put(file, "");
    put("a/cpu.stat", "usage_usec 5\nuser_usec 3\n");
    put("a/memory.current", "900");
    put("a/memory.stat", "anon 1\ninactive_file 100\n");
    put("a/memory.events", "oom 1\noom_kill 1\n");
    const cgroups = new CgroupsV2(folder);

    cgroups.create("/a");
    cgroups.setLimits("/a", { cpuShares: 1024, cpuQuotaMicroseconds: 50000, memoryLimitBytes: 123, pidsLimit: -1 });

    assert.match(get("cgroup.subtree_control"), /^\+pids/, "the last one written");
    assert.equal(get("a/cpu.weight"), "39");
    assert.equal(get("a/cpu.max"), "50000 100000");
    assert.equal(get("a/memory.max"), "123");
    assert.equal(get("a/pids.max"), "max");
    assert.deepEqual(cgroups.readUsage("/a"), {
      cpuUsageNanoseconds: 5000,
      memoryUsageBytes: 900,
      memoryWorkingSetBytes: 800,
    });
    assert.equal(cgroups.countOutOfMemoryKills("/a"), 1);
  });

  test("processes of a group are those below too, and empty groups are removed with their children", () => {
    put("pids/x/cgroup.procs", "1\n2\n");
    put("pids/x/y/cgroup.procs", "3\n");
    const cgroups = new CgroupsV1(new Map([["pids", join(folder, "pids")]]));
    mkdirSync(join(folder, "pids/empty/deep"), { recursive: true });

    assert.deepEqual(cgroups.listProcesses("/x"), [1, 2, 3]);
    assert.deepEqual(cgroups.listProcesses("/gone"), []);
    assert.equal(cgroups.remove("/empty"), true);
    assert.equal(existsSync(join(folder, "pids/empty")), false);
    assert.equal(cgroups.remove("/empty"), true);
  });
});
