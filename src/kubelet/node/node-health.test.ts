import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { HealthReader, measureMachine } from "./node-health.ts";

const none = { memoryBytes: 0, diskFraction: 0, diskBytes: 0, inodesFraction: 0, pidsFraction: 0 };

test("pressure is told until five minutes after it was last seen", async () => {
  const clock = new FakeClock();
  const shortage = { resource: "memory", signal: "memory.available", threshold: 2, available: 1 } as const;
  let shortages: readonly (typeof shortage)[] = [shortage];
  const reader = new HealthReader(async () => ({ shortages, pidPressure: false }), clock);

  assert.equal((await reader.read()).memoryPressure, true);
  shortages = [];
  await clock.advance(299_000);
  const late = await reader.read();
  assert.deepEqual([late.memoryPressure, late.shortages], [true, []]);
  await clock.advance(1_000);
  assert.equal((await reader.read()).memoryPressure, false);
});

test("what the machine has left is compared with the bounds, the smaller one for disks", async () => {
  const signals = async (bounds: Partial<typeof none>) =>
    (await measureMachine("/", { ...none, ...bounds })).shortages.map(({ signal }) => signal);

  assert.deepEqual(await signals({}), []);
  assert.deepEqual(await signals({ memoryBytes: 2 ** 60 }), ["memory.available"]);
  assert.deepEqual(await signals({ diskFraction: 1, diskBytes: 2 ** 60 }), ["nodefs.available"]);
  assert.deepEqual(await signals({ diskFraction: 1 }), []);
});
