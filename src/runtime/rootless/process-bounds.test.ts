import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { identifyProcess, type ProcessIdentity } from "#linux/processes.ts";
import { type BoundProcess, ProcessBounds } from "./process-bounds.ts";

const own = identifyProcess(process.pid) as ProcessIdentity;

test("a process that has more memory than its group may have is killed, and counts as out of memory", async () => {
  const child = spawn("sleep", ["60"]);
  const exit = once(child, "exit");
  const processes: BoundProcess[] = [];
  const clock = new FakeClock();
  const bounds = new ProcessBounds({ processes: () => processes, clock });
  bounds.setLimits("/n/pod", { memoryLimitBytes: 1 });
  processes.push({ cgroupPath: "/n/pod/c", process: identifyProcess(child.pid ?? 0) as ProcessIdentity });

  await clock.advance(1000);

  assert.deepEqual(await exit, [null, "SIGKILL"]);
  assert.deepEqual([bounds.countOutOfMemoryKills("/n/pod/c"), bounds.countOutOfMemoryKills("/n/pod/d")], [1, 0]);
  bounds.close();
});

test("a bound below what is used is refused", () => {
  const processes = () => [{ cgroupPath: "/n/pod/c", process: own }];
  const bounds = new ProcessBounds({ processes, clock: new FakeClock() });

  assert.throws(() => bounds.setLimits("/n/pod", { memoryLimitBytes: 4096 }), /uses \d+ bytes/);
  bounds.setLimits("/n/pod", { cpuQuotaMicroseconds: 1000 });
  bounds.close();
});

test("usage is that of a group's own processes", () => {
  const bounds = new ProcessBounds({
    processes: () => [{ cgroupPath: "/n/pod1/c", process: own }],
    clock: new FakeClock(),
  });

  const usage = bounds.readUsage("/n/pod1");

  assert.ok((usage?.memoryUsageBytes ?? 0) > 1_000_000 && (usage?.cpuUsageNanoseconds ?? 0) > 0, JSON.stringify(usage));
  assert.equal(bounds.readUsage("/n/pod"), undefined);
  bounds.close();
});
