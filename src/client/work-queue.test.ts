import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { WorkQueue } from "./work-queue.ts";

test("a key that waits is not queued twice", () => {
  const queue = new WorkQueue({ clock: new FakeClock() });

  queue.add("a");
  queue.add("b");
  queue.add("a");

  assert.deepEqual([queue.take(), queue.take(), queue.take()], ["a", "b", undefined]);
});

test("a key added while it is worked on is taken again only when done", () => {
  const queue = new WorkQueue({ clock: new FakeClock() });
  queue.add("a");
  queue.take();

  queue.add("a");

  assert.equal(queue.take(), undefined);
  queue.done("a");
  assert.equal(queue.take(), "a");
});

test("failures wait twice as long each time until the key is forgotten", async () => {
  const clock = new FakeClock();
  const queue = new WorkQueue({ clock });
  for (const delayMs of [5, 10, 20]) {
    queue.addRateLimited("a");
    await clock.advance(delayMs - 1);
    assert.equal(queue.length, 0);
    await clock.advance(1);
    assert.equal(queue.take(), "a");
    queue.done("a");
  }

  queue.forget("a");
  queue.addRateLimited("a");
  await clock.advance(5);

  assert.equal(queue.take(), "a");
});

test("of several delays the shortest counts", async () => {
  const clock = new FakeClock();
  const queue = new WorkQueue({ clock });

  queue.addAfter("a", 1000);
  queue.addAfter("a", 10);
  queue.addAfter("a", 500);
  await clock.advance(10);

  assert.equal(queue.take(), "a");
  queue.done("a");
  await clock.advance(5000);
  assert.equal(queue.length, 0);
});
