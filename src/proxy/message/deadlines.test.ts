import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { Deadlines } from "./deadlines.ts";

test("a deadline fires once it is due, and only when it was not moved or cleared", async () => {
  const clock = new FakeClock();
  const deadlines = new Deadlines(clock);
  const fired: string[] = [];
  const [a, b, c] = ["a", "b", "c"].map((name) => deadlines.add(() => fired.push(name)));
  a!.set(1000);
  b!.set(100);
  c!.set(200);
  c!.clear();
  b!.set(500);

  await clock.advance(499);
  assert.deepEqual(fired, []);
  await clock.advance(1);
  assert.deepEqual(fired, ["b"]);
  await clock.advance(1000);
  assert.deepEqual(fired, ["b", "a"]);
  await clock.advance(10_000);
  assert.deepEqual(fired, ["b", "a"]);
});

test("one that is set while others fire is kept", async () => {
  const clock = new FakeClock();
  const deadlines = new Deadlines(clock);
  let count = 0;
  const again = deadlines.add(() => {
    count++;
    again.set(50);
  });
  again.set(50);

  await clock.advance(200);

  assert.equal(count, 4);
});
