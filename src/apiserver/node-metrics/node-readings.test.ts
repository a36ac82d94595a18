import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { NodeReadings } from "./node-readings.ts";

function house(read: (node: string, signal: AbortSignal) => Promise<void> = async () => {}) {
  const clock = new FakeClock(0);
  const asked: string[] = [];
  const readings = new NodeReadings({
    nodes: async () => ["a", "b"],
    read: async (node, signal) => {
      asked.push(`${node} ${clock.now()}`);
      const atMs = clock.now();
      await read(node, signal);
      return { node: { atMs, startedMs: 0, cpuSeconds: 0, memoryBytes: 0 }, pods: new Map() };
    },
    clock,
    logger: silentLogger,
  });
  const compared = async () => {
    const pairs = await readings.pairs();
    return [...pairs].map(([name, { earlier, later }]) => `${name} ${earlier?.node?.atMs} ${later.node?.atMs}`);
  };
  return { clock, asked, compared };
}

test("who asks first waits for two readings; who asks soon after gets the same ones", async () => {
  const { clock, asked, compared } = house();
  const first = [compared(), compared()];
  await clock.advance(1_000);

  assert.deepEqual(await Promise.all(first), [
    ["a 0 1000", "b 0 1000"],
    ["a 0 1000", "b 0 1000"],
  ]);
  await clock.advance(4_000);
  assert.deepEqual(await compared(), ["a 0 1000", "b 0 1000"]);
  assert.equal(asked.length, 4);
});

test("who keeps asking sees windows of about fifteen seconds", async () => {
  const { clock, compared } = house();
  const first = compared();
  await clock.advance(1_000);
  await first;
  const seen: string[] = [];
  for (let turn = 0; turn < 5; turn++) {
    await clock.advance(10_000);
    seen.push((await compared())[0] ?? "");
  }
  assert.deepEqual(seen, ["a 0 11000", "a 1000 21000", "a 11000 31000", "a 21000 41000", "a 31000 51000"]);
});

test("nothing is read while nobody asks, and what is old is not compared with", async () => {
  const { clock, asked, compared } = house();
  const first = compared();
  await clock.advance(1_000);
  await first;
  await clock.advance(600_000);
  assert.equal(asked.length, 4);

  const later = compared();
  await clock.advance(1_000);
  assert.deepEqual(await later, ["a 601000 602000", "b 601000 602000"]);
});

test("a node that does not answer is left out, and the others do not wait for it for long", async () => {
  const { clock, compared } = house(async (node, signal) => {
    if (node === "a")
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("late"))));
  });
  const first = compared();
  await clock.advance(5_000);
  await clock.advance(1_000);
  await clock.advance(5_000);
  assert.deepEqual(await first, ["b 0 6000"]);
});
