import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { identifyProcess, isRunning, readBootId, signalProcess } from "./processes.ts";

test("a process is known by its number and its start, and is gone after it ended", async () => {
  const child = spawn("sleep", ["1000"]);
  const identity = identifyProcess(child.pid ?? 0);
  assert.ok(identity);

  assert.equal(isRunning(identity), true);
  assert.equal(isRunning({ ...identity, startTicks: "1" }), false, "another process with the same number");
  assert.equal(signalProcess({ ...identity, startTicks: "1" }, "SIGKILL"), false);
  assert.equal(signalProcess(identity, "SIGKILL"), true);
  await once(child, "exit");

  assert.equal(isRunning(identity), false);
  assert.equal(signalProcess(identity, "SIGKILL"), false);
});

test("the boot has a name", () => {
  assert.match(readBootId(), /^[0-9a-f-]{36}$/);
});
