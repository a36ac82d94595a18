import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Pod } from "#api/generated/types/core-v1.ts";
import { FakeClock } from "#component-base/clock.ts";
import { podInfoOf } from "./pod-info.ts";
import { type QueuedPod, SchedulingQueue } from "./queue.ts";

const change = { kind: "nodeAdded", node: {} as Node } as const;

function named(name: string, priority = 0) {
  return podInfoOf({ metadata: { name, namespace: "default", uid: name }, spec: { priority, containers: [] } } as Pod);
}

/** A queue whose pods have all failed once, and what it said of pods that can be tried. */
function queueOf(...pods: readonly [name: string, priority: number][]) {
  const clock = new FakeClock();
  const queue = new SchedulingQueue(clock, []);
  const told = { times: 0 };
  queue.onAvailable(() => told.times++);
  for (const [name, priority] of pods) queue.add(named(name, priority));
  const failed = pods.map(() => queue.pop() as QueuedPod);
  return { clock, queue, told, failed, next: () => queue.pop()?.info.uid };
}

test("a pod that a change may help is tried at once when no other waits, its back-off notwithstanding", () => {
  const { queue, told, failed, next } = queueOf(["a", 0]);
  queue.park(failed[0] as QueuedPod, new Set());
  assert.equal(queue.isIdle, true);
  const before = told.times;

  queue.onChange(change);

  assert.deepEqual([told.times - before, queue.isIdle, next(), next()], [1, false, "a", undefined]);
  queue.close();
});

test("a pod in its back-off comes behind those that have none, and the more important one first", () => {
  const { queue, failed, next } = queueOf(["a", 0], ["b", 5]);
  for (const one of failed) queue.park(one, new Set());
  queue.onChange(change);

  queue.add(named("new"));

  assert.deepEqual([next(), next(), next(), next()], ["new", "b", "a", undefined]);
  queue.close();
});

test("after an error the back-off is waited out, whatever changes", async () => {
  const { clock, queue, failed, next } = queueOf(["a", 0]);
  queue.retry(failed[0] as QueuedPod);
  queue.onChange(change);
  assert.deepEqual([next(), queue.isIdle], [undefined, true]);

  await clock.advance(1000);

  assert.equal(next(), "a");
  queue.close();
});

test("a pod that is deleted is tried no more, wherever it waits", () => {
  const { queue, failed, next } = queueOf(["a", 0], ["b", 0], ["c", 0]);
  const [a, b, c] = failed as [QueuedPod, QueuedPod, QueuedPod];
  queue.park(a, new Set());
  queue.onChange(change);
  queue.retry(b);
  queue.park(c, new Set());

  for (const name of ["a", "b", "c"]) queue.delete(name);
  queue.onChange(change);

  assert.deepEqual([queue.size, queue.isIdle, next()], [0, true, undefined]);
  queue.close();
});
