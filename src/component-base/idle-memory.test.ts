import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "./clock.ts";
import { IdleMemory, processMemory } from "./idle-memory.ts";

const MB = 1 << 20;

async function watched() {
  const clock = new FakeClock();
  const state = { cpuMs: 0, bytes: 100 * MB, unusedBytes: 0, collected: 0, all: 0, trimmed: 0 };
  const memory = {
    cpuMs: () => state.cpuMs,
    residentBytes: () => state.bytes,
    unusedHeapBytes: () => state.unusedBytes,
    collect: (type: "minor" | "major") => void (type === "minor" ? state.collected++ : state.all++),
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
    return [state.collected, state.trimmed];
  };
  return { state, service, pass };
}

test("what the start has used is given back once the process is idle", async () => {
  const { pass } = await watched();

  assert.deepEqual(await pass(3, 3000), [0, 0]);
  assert.deepEqual(await pass(1, 10), [1, 1]);
  assert.deepEqual(await pass(10), [5, 5]);
});

test("a process that did not grow is left alone, one that did is not", async () => {
  const { state, pass } = await watched();
  await pass(5);

  state.bytes = 107 * MB;
  assert.deepEqual(await pass(5), [5, 5]);
  state.bytes = 109 * MB;
  assert.deepEqual(await pass(5), [10, 10]);
});

test("one that settled in a pause of its work does so again when the work has ended", async () => {
  const { pass } = await watched();
  await pass(5);

  assert.deepEqual(await pass(5), [5, 5]);
  assert.deepEqual(await pass(20, 400), [11, 11]);
  assert.deepEqual(await pass(9), [15, 15]);
});

test("after work that comes in between all is begun anew", async () => {
  const { pass } = await watched();
  await pass(2);

  assert.deepEqual(await pass(5, 2000), [2, 2]);
  assert.deepEqual(await pass(10), [7, 7]);
});

test("V8 is reminded of a heap that is still wide", async () => {
  const { state, pass } = await watched();
  state.unusedBytes = 40 * MB;

  await pass(10);

  assert.deepEqual([state.collected, state.all], [4, 1]);
});

test("nothing is done after the stop", async () => {
  const { service, pass } = await watched();

  await service.stop();

  assert.deepEqual(await pass(5), [0, 0]);
});

test("the real process can be asked, and gives memory back", () => {
  const memory = processMemory();

  assert.ok(memory.cpuMs() > 0);
  assert.ok(memory.residentBytes() > MB);
  assert.ok(memory.unusedHeapBytes() >= 0);
  memory.collect("minor");
  memory.collect("major");
  memory.trimFree();
});
