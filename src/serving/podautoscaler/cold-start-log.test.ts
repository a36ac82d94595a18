import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ColdStart } from "#serving/data-plane.ts";
import { ColdStartLog } from "./cold-start-log.ts";

const key = "default/hello-00001";

function start(second: number, totalMs: number): ColdStart {
  return {
    namespace: "default",
    name: "hello-00001",
    time: `2026-01-01T00:00:${String(second).padStart(2, "0")}.000Z`,
    totalMs,
    decisionMs: 1,
    scheduleMs: 2,
    startMs: totalMs - 6,
    readyMs: 2,
    firstByteMs: 1,
  };
}

describe("the log of cold starts", () => {
  it("sums up a revision's last ones, and counts what it is told again once", () => {
    const log = new ColdStartLog();
    const told: string[] = [];
    log.onColdStart((one) => told.push(one));
    for (const totalMs of [10, 20, 30]) log.recordColdStart("n1", start(totalMs, totalMs));
    for (const totalMs of [10, 40]) log.recordColdStart("n1", start(totalMs, totalMs));
    log.recordColdStart("n2", start(5, 50));
    const summary = log.summaryOf(key, undefined);

    assert.deepEqual(told, [key, key, key, key, key]);
    assert.deepEqual([summary?.count, summary?.p50Ms, summary?.p99Ms], [5, 30, 50]);
    assert.deepEqual(summary?.parts?.[2], { part: "start", p50Ms: 24, p99Ms: 44 });
    assert.equal(summary?.last?.totalMs, 50);
    log.forget(key);
    assert.equal(log.summaryOf(key, undefined), undefined);
  });

  it("goes on counting where the process before left off", () => {
    const log = new ColdStartLog();
    const before = { count: 7, last: { time: start(10, 10).time, totalMs: 10 } };
    assert.equal(log.summaryOf(key, before), before);
    // The node's object still tells of the last one.
    log.recordColdStart("n1", start(10, 10));
    assert.equal(log.summaryOf(key, before), before);

    log.recordColdStart("n1", start(20, 20));
    const summary = log.summaryOf(key, before);
    assert.equal(summary?.count, 8);
    assert.equal(log.summaryOf(key, summary), summary);
  });
});
