import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { Reconciler } from "./reconciler.ts";
import { settle, until } from "./testing/settle.ts";

test("a key that fails is tried again after its back-off", async () => {
  const clock = new FakeClock();
  let calls = 0;
  const reconcile = async () => {
    if (++calls < 3) throw new Error("not yet");
  };
  const reconciler = new Reconciler({ name: "test", reconcile, clock, logger: silentLogger });
  await reconciler.start(new AbortController().signal);

  reconciler.enqueue("a");
  await settle();
  assert.equal(calls, 1);
  await clock.advance(5);
  await clock.advance(10);

  assert.equal(calls, 3);
  await reconciler.stop();
});

test("no more keys are worked on at once than there are workers", async () => {
  const running = new Set<string>();
  const release: (() => void)[] = [];
  const reconcile = async (key: string) => {
    running.add(key);
    await new Promise<void>((resolve) => release.push(resolve));
    running.delete(key);
  };
  const options = { name: "test", reconcile, clock: new FakeClock(), logger: silentLogger, workers: 2 };
  const reconciler = new Reconciler(options);
  await reconciler.start(new AbortController().signal);

  for (const key of ["a", "b", "c"]) reconciler.enqueue(key);
  await settle();

  assert.deepEqual([...running], ["a", "b"]);
  release.shift()!();
  await until(() => running.has("c"));
  for (const one of release) one();
  await reconciler.stop();
});
