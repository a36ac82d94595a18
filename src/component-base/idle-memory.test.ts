import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { FakeClock } from "./clock.ts";
import { IdleMemory, processMemory } from "./idle-memory.ts";

const MB = 1 << 20;

async function watched() {
  const clock = new FakeClock();
  const state = { cpuMs: 0, bytes: 100 * MB, collected: 0, reduced: 0, trimmed: 0 };
  const memory = {
    cpuMs: () => state.cpuMs,
    residentBytes: () => state.bytes,
    collectYoung: () => void state.collected++,
    reduceHeap: () => void state.reduced++,
    trimFree: () => void state.trimmed++,
  };
  const service = new IdleMemory(clock, memory);
  await service.start(new AbortController().signal);
  /** Periods of ten seconds, in each of which so much is done. Gives what was done about memory until then. */
  const pass = async (periods: number, busyMs = 0) => {
    for (let i = 0; i < periods; i++) {
      state.cpuMs += busyMs;
      await clock.advance(10_000);
    }
    return [state.collected, state.reduced, state.trimmed];
  };
  return { state, service, pass };
}

test("what the start has used is given back once the process is idle", async () => {
  const { pass } = await watched();

  assert.deepEqual(await pass(3, 3000), [0, 0, 0]);
  assert.deepEqual(await pass(1, 10), [1, 0, 1]);
  assert.deepEqual(await pass(1), [2, 0, 2]);
  assert.deepEqual(await pass(1), [2, 1, 3]);
  assert.deepEqual(await pass(10), [3, 1, 4]);
});

test("a process that did not grow is left alone, one that did is not", async () => {
  const { state, pass } = await watched();
  await pass(5);

  state.bytes = 107 * MB;
  assert.deepEqual(await pass(5), [3, 1, 4]);
  state.bytes = 109 * MB;
  assert.deepEqual(await pass(5), [6, 2, 8]);
});

test("one that settled in a pause of its work does so again when the work has ended", async () => {
  const { pass } = await watched();
  await pass(5);

  assert.deepEqual(await pass(5), [3, 1, 4]);
  assert.deepEqual((await pass(19, 400)).slice(0, 2), [7, 2]);
  assert.deepEqual((await pass(9)).slice(0, 2), [9, 3]);
});

test("malloc's gaps are given back after a little work too", async () => {
  const { pass } = await watched();
  await pass(5);

  assert.deepEqual(await pass(5, 20), [3, 1, 4]);
  assert.deepEqual(await pass(10, 20), [3, 1, 5]);
});

test("after work that comes in between all is begun anew", async () => {
  const { pass } = await watched();
  await pass(1);

  assert.deepEqual(await pass(5, 2000), [1, 0, 1]);
  assert.deepEqual(await pass(10), [4, 1, 5]);
});

test("nothing is done after the stop", async () => {
  const { service, pass } = await watched();

  await service.stop();

  assert.deepEqual(await pass(5), [0, 0, 0]);
});

test("the real process can be asked", () => {
  const memory = processMemory();

  assert.ok(memory.cpuMs() > 0);
  assert.ok(memory.residentBytes() > MB);
  memory.collectYoung();
  memory.trimFree();
});

test("a process that has done much work gives back what the work needed", () => {
  const script = `
    import { processMemory } from ${JSON.stringify(join(import.meta.dirname, "idle-memory.ts"))};
    const memory = processMemory();
    let kept = [];
    for (let round = 0; round < 400; round++) {
      for (let i = 0; i < 3000; i++) kept.push({ i, text: "x" + i, list: [i, i + 1] });
      if (kept.length > 60_000) kept = kept.slice(-20_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    kept = [];
    const before = memory.residentBytes();
    memory.reduceHeap();
    const deadline = Date.now() + 20_000;
    while (before - memory.residentBytes() < 30 * 2 ** 20 && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 50));
    console.log(before - memory.residentBytes());`;
  // Its own reducer would do it some time later.
  const flags = ["--disable-warning=ExperimentalWarning", "--no-memory-reducer", "--max-semi-space-size=16"];
  const { stdout, stderr } = spawnSync(process.execPath, [...flags, "--input-type=module", "-e", script], {
    encoding: "utf8",
  });

  assert.ok(Number(stdout) >= 30 * MB, `${stdout} bytes were given back\n${stderr}`);
});
