import assert from "node:assert/strict";
import { test } from "node:test";
import { ClusterLoads, sumLoads } from "./cluster-loads.ts";

test("concurrency is averaged over the time since the last look", () => {
  const loads = new ClusterLoads();
  const meter = loads.of("c", 0);
  meter.enter(0);
  meter.enter(500);
  meter.leave(750);

  assert.deepEqual(loads.take(1000), [{ cluster: "c", requests: 2, averageConcurrency: 1.25, concurrency: 1 }]);
  assert.deepEqual(loads.take(2000), [{ cluster: "c", requests: 0, averageConcurrency: 1, concurrency: 1 }]);
  meter.leave(2500);
  assert.deepEqual(loads.take(3000), [{ cluster: "c", requests: 0, averageConcurrency: 0.5, concurrency: 0 }]);
  assert.deepEqual(loads.take(4000), []);
});

test("threads are added up", () => {
  const one = { cluster: "c", requests: 1, averageConcurrency: 0.5, concurrency: 1 };
  const other = { cluster: "d", requests: 2, averageConcurrency: 1, concurrency: 0 };

  assert.deepEqual(sumLoads([[one], [one, other]]), [
    { cluster: "c", requests: 2, averageConcurrency: 1, concurrency: 2 },
    other,
  ]);
});
