import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { identifyProcess, type ProcessActivity, readActivity } from "#linux/processes.ts";
import { findUnixListener, HangWatch, hangPatienceMs, hungMs } from "./hang-watch.ts";

const idle: ProcessActivity = { state: "S", cpuMs: 1000, isTraced: false };

/** The clock of a machine that sleeps now and then: timers wait, time goes on. */
class SleepingClock extends FakeClock {
  sleptMs = 0;
  override now(): number {
    return super.now() + this.sleptMs;
  }
}

/** A process that answers or not, and does what the test says. */
async function setUp(t: TestContext, { patienceMs = 20_000, isWanted = true } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "hang-"));
  const path = join(folder, "x.sock");
  let answers = true;
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => {});
    if (answers) socket.write('{"pid":1}\n');
  });
  server.listen(path);
  await once(server, "listening");
  const clock = new SleepingClock();
  const state = { activity: idle as ProcessActivity | undefined, killed: 0 };
  const watch = new HangWatch({
    socket: path,
    patienceMs,
    isWanted: () => isWanted,
    clock,
    logger: silentLogger,
    processes: {
      findListener: () => ({ pid: 1, startTicks: "1" }),
      activity: () => state.activity,
      kill: () => void (state.killed += 1),
    },
  });
  watch.start();
  t.after(() => {
    watch.stop();
    for (const socket of open) socket.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return {
    clock,
    state,
    /** From now on; a late answer too. */
    answer(whether: boolean) {
      answers = whether;
      if (whether) for (const socket of open) socket.write('{"pid":1}\n');
    },
    /** Turns of five seconds, each with time for answers to come. */
    async turns(count: number, each: (turn: number) => void = () => {}) {
      for (let turn = 0; turn < count; turn++) {
        each(turn);
        await clock.advance(5000);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
  };
}

test("a process that answers lives for ever", async (t) => {
  const { state, turns } = await setUp(t);
  await turns(20);
  assert.equal(state.killed, 0);
});

test("one that sleeps and does not answer is killed when 20 to 25 seconds have passed", async (t) => {
  const { state, turns, answer } = await setUp(t);
  await turns(2);
  answer(false);
  await turns(4);
  assert.equal(state.killed, 0);
  await turns(1);
  assert.equal(state.killed, 1);
});

test("one that was stopped is killed, one under a debugger is not", async (t) => {
  const stopped = await setUp(t);
  stopped.answer(false);
  stopped.state.activity = { ...idle, state: "T" };
  await stopped.turns(5);
  assert.equal(stopped.state.killed, 1);

  const traced = await setUp(t);
  traced.answer(false);
  traced.state.activity = { ...idle, state: "t", isTraced: true };
  await traced.turns(50);
  assert.equal(traced.state.killed, 0);
});

test("one that runs without end is killed after as much processor time, however long it takes to get it", async (t) => {
  const { state, turns, answer } = await setUp(t);
  answer(false);
  const share = (percent: number) => (turn: number) =>
    void (state.activity = { state: "R", cpuMs: 1000 + turn * 50 * percent, isTraced: false });
  await turns(3, share(0)); // starved
  await turns(100, share(1)); // one percent of a processor: 5 s in all
  assert.equal(state.killed, 0);
  await turns(4, (turn) => share(100)(turn + 1));
  assert.equal(state.killed, 1);
});

test("one that waits for a disk, or gets no processor, is left alone", async (t) => {
  for (const activity of [
    { ...idle, state: "D" },
    { ...idle, state: "R" },
  ]) {
    const { state, turns, answer } = await setUp(t);
    answer(false);
    state.activity = activity;
    await turns(50);
    assert.equal(state.killed, 0);
  }
});

test("time in which the watcher itself did not run does not count", async (t) => {
  const { state, clock, turns, answer } = await setUp(t);
  answer(false);
  await turns(3);
  await turns(5, () => void (clock.sleptMs += 8 * 3_600_000));
  assert.equal(state.killed, 0);
});

test("processor time that was used without an answer counts also when the watcher was late, which kills nobody itself", async (t) => {
  const { state, clock, turns, answer } = await setUp(t);
  answer(false);
  await turns(3, (turn) => void (state.activity = { state: "R", cpuMs: turn * 5000, isTraced: false }));
  const late = (turn: number) => {
    clock.sleptMs += 20_000;
    state.activity = { state: "R", cpuMs: 10_000 + (turn + 1) * 20_000, isTraced: false };
  };
  await turns(2, late);
  assert.equal(state.killed, 0);
  await turns(1, () => void (state.activity = { state: "R", cpuMs: 51_000, isTraced: false }));
  assert.equal(state.killed, 1);
});

test("an answer makes up for the silence before it", async (t) => {
  const { state, turns, answer } = await setUp(t);
  for (let round = 0; round < 5; round++) {
    answer(false);
    await turns(1);
    answer(true);
    await turns(1);
  }
  state.activity = undefined; // what owed an answer has ended
  await turns(4);
  assert.equal(state.killed, 0);
});

test("nobody is killed after the permit was withdrawn, or when the watch is switched off", async (t) => {
  const unwanted = await setUp(t, { isWanted: false });
  unwanted.answer(false);
  await unwanted.turns(20);
  const off = await setUp(t, { patienceMs: hangPatienceMs({ NODELESS_HANG_SECONDS: "0" }) });
  off.answer(false);
  await off.turns(20);
  assert.deepEqual([unwanted.state.killed, off.state.killed], [0, 0]);
  assert.equal(hangPatienceMs({}), 20_000);
  assert.equal(hangPatienceMs({ NODELESS_HANG_SECONDS: "nonsense" }), 20_000);
});

test("what a process did is told by its first thread", async (t) => {
  const child = spawn(process.execPath, [
    "-e",
    "process.title = 'nodeless x'; setInterval(() => {}, 1000); console.log()",
  ]);
  t.after(() => child.kill("SIGKILL"));
  await once(child.stdout, "data");
  const identity = identifyProcess(child.pid ?? 0);
  assert.ok(identity);
  const before = readActivity(identity);
  assert.ok(before && before.cpuMs > 0 && !before.isTraced);
  child.kill("SIGSTOP");
  while (readActivity(identity)?.state !== "T") await new Promise((resolve) => setTimeout(resolve, 1));
  assert.equal(hungMs(before, { ...before, state: "T" }, 5000), 5000);
  assert.equal(readActivity({ ...identity, startTicks: "0" }), undefined);
});

test("who listens at a path is found among the cluster's processes", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "hang-"));
  const path = join(folder, "y.sock");
  const program = `process.title = "nodeless y"; require("node:net").createServer().listen(${JSON.stringify(path)}, () => console.log())`;
  const child = spawn(process.execPath, ["-e", program]);
  t.after(() => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });
  await once(child.stdout, "data");

  assert.equal(findUnixListener(path)?.pid, child.pid);
  assert.equal(findUnixListener(`${path}2`), undefined);
});
