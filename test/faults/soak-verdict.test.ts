/** The soak's verdict: a leak fails, a plateau passes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Sample } from "./soak-meter.ts";
import { findGrowth, isConclusive } from "./soak-verdict.ts";

/** Rests of an hour, every six minutes. `at` gives what differs from a quiet cluster. */
function hour(at: (minute: number, round: number) => Partial<Sample>): Sample[] {
  return Array.from({ length: 10 }, (_, round) => {
    const minute = round * 6;
    const noise = [0, 6, -4, 3, -6, 5, -2, 4, -5, 2][round] ?? 0;
    const quiet: Sample = {
      minute,
      controlPlaneMB: 150 + noise,
      nodeMB: 85 + noise / 2,
      controlPlaneFiles: 36,
      nodeFiles: 36,
      storeMB: Math.min(180, 15 + minute * 28),
      helpers: 1,
      groups: 0,
      mounts: 1,
      links: 0,
      elements: 6,
      done: 0,
    };
    return { ...quiet, ...at(minute, round) };
  });
}

test("a cluster that comes to rest each time as before passes, noise and all", () => {
  const rests = hour(() => ({}));

  assert.deepEqual(findGrowth(rests), []);
  assert.ok(isConclusive(rests));
});

test("caches that fill up and a file that grows until its history is whole pass", () => {
  const filling = (minute: number) => 1 - Math.exp(-minute / 8);

  const rests = hour((minute) => ({ controlPlaneMB: 140 + 25 * filling(minute), storeMB: 15 + 150 * filling(minute) }));
  assert.deepEqual(findGrowth(rests), []);
});

for (const [what, name, leak] of [
  ["a MB a minute in the control plane", "controlPlaneMB", (minute: number) => 150 + minute],
  ["two thirds of a MB a minute in a node", "nodeMB", (minute: number) => 85 + minute * 0.67],
  ["a file that grows by a MB a minute", "storeMB", (minute: number) => 180 + minute],
  ["a descriptor a round", "nodeFiles", (minute: number) => 36 + minute / 6],
] as const) {
  test(`${what} is a leak`, () => {
    const problems = findGrowth(hour((minute) => ({ [name]: leak(minute) })));

    assert.ok(problems.length > 0);
    assert.ok(problems.every((problem) => problem.startsWith(name)));
  });
}

test("memory that stays after the first rounds is told, even when it grows no more", () => {
  const rests = hour((_, round) => (round < 2 ? {} : { controlPlaneMB: 260 }));

  assert.match(findGrowth(rests).join("\n"), /controlPlaneMB: 150.0 before, 260.0 after/);
});

test("a short run says that it shows nothing of memory", () => {
  const rests = hour(() => ({})).slice(0, 3);

  assert.deepEqual([isConclusive(rests), findGrowth(rests)], [false, []]);
  assert.deepEqual(findGrowth(rests.slice(0, 1)), ["there is nothing to compare"]);
});
