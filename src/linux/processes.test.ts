import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { heedsSignal, identifyProcess, isRunning, readBootId, signalProcess } from "./processes.ts";

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

test("a signal that a process ignores is told apart from one that it takes or that ends it", async () => {
  const shell = async (script: string) => {
    const child = spawn("sh", ["-c", `${script} echo ready; read line`], { stdio: ["pipe", "pipe", "ignore"] });
    await once(child.stdout, "data");
    return child;
  };
  const children = await Promise.all([shell("trap '' TERM;"), shell("trap 'exit' TERM;"), shell("")]);

  const heeding = children.map((child) => heedsSignal({ pid: child.pid ?? 0, startTicks: "" }, 15));
  for (const child of children) child.stdin.end();

  assert.deepEqual(heeding, [false, true, true]);
});
