import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "./clock.ts";
import { IdleMemory, processMemory } from "./idle-memory.ts";

const MB = 1 << 20;

async function watched() {
  const clock = new FakeClock();
  const state = { cpuMs: 0, bytes: 100 * MB, collected: 0 };
  const giveBack = (): void => {
    state.collected++;
    state.bytes = 60 * MB;
  };
  const memory = { cpuMs: () => state.cpuMs, residentBytes: () => state.bytes, giveBack };
  const service = new IdleMemory(clock, memory);
  await service.start(new AbortController().signal);
  const period = async (busyMs: number) => {
    state.cpuMs += busyMs;
    await clock.advance(10_000);
  };
  return { state, service, period };
}

test("what the start has used is given back once the process is idle", async () => {
  const { state, period } = await watched();

  await period(3000);
  assert.equal(state.collected, 0);
  await period(10);

  assert.equal(state.collected, 1);
});

test("a process that did not grow is left alone, one that did is not", async () => {
  const { state, period } = await watched();
  await period(0);

  await period(0);
  state.bytes = 80 * MB;
  await period(0);
  assert.equal(state.collected, 1);
  state.bytes = 200 * MB;
  await period(0);

  assert.equal(state.collected, 2);
});

test("nothing is done after the stop", async () => {
  const { state, service, period } = await watched();

  await service.stop();
  await period(0);

  assert.equal(state.collected, 0);
});

test("the real process can be asked", () => {
  const memory = processMemory();

  assert.ok(memory.cpuMs() > 0);
  assert.ok(memory.residentBytes() > MB);
});
