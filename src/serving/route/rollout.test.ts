import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isDone, nextStepMs, observeReady, parseRollout, type Rollout, stepRollout } from "./rollout.ts";

const start = 1_000_000;

function goal(revisionName: string, percent = 100): Rollout {
  return [{ configurationName: "hello", tag: "", percent, revisions: [{ revisionName, percent }] }];
}

function shares(rollout: Rollout): Readonly<Record<string, number>> {
  return Object.fromEntries((rollout[0]?.revisions ?? []).map(({ revisionName, percent }) => [revisionName, percent]));
}

describe("a gradual rollout", () => {
  it("begins with one per cent for the new revision", () => {
    const begun = stepRollout(goal("two"), goal("one"), start);

    assert.deepEqual(shares(begun), { one: 99, two: 1 });
    assert.equal(isDone(begun), false);
    assert.equal(nextStepMs(begun), undefined);
  });

  it("takes its steps from how long the first per cent took, and ends on time", () => {
    const begun = stepRollout(goal("two"), goal("one"), start);
    // 5 s to be ready, 60 s in all: 11 steps of 9 %, 5 s apart.
    let rollout = observeReady(begun, start + 5000, 60);
    let now = start + 5000;
    const seen: number[] = [];
    while (!isDone(rollout)) {
      now = nextStepMs(rollout) ?? Number.NaN;
      rollout = stepRollout(goal("two"), rollout, now);
      seen.push(shares(rollout)["two"] ?? 0);
    }

    assert.deepEqual(seen, [10, 19, 28, 37, 46, 55, 64, 73, 82, 91, 100]);
    assert.equal(now, start + 60_000);
    assert.deepEqual(shares(rollout), { two: 100 });
  });

  it("does not step before its time", () => {
    const ready = observeReady(stepRollout(goal("two"), goal("one"), start), start + 1000, 10);

    assert.deepEqual(shares(stepRollout(goal("two"), ready, start + 1001)), { one: 99, two: 1 });
  });

  it("goes on with a third revision, which takes from the second first", () => {
    const before: Rollout = [
      {
        configurationName: "hello",
        tag: "",
        percent: 100,
        revisions: [
          { revisionName: "one", percent: 60 },
          { revisionName: "two", percent: 40 },
        ],
      },
    ];

    assert.deepEqual(shares(stepRollout(goal("three"), before, start)), { one: 60, two: 39, three: 1 });
  });

  it("gives a larger share to the newest, and takes a smaller one from the oldest", () => {
    const before: Rollout = [
      {
        configurationName: "hello",
        tag: "",
        percent: 50,
        revisions: [
          { revisionName: "one", percent: 30 },
          { revisionName: "two", percent: 20 },
        ],
      },
    ];

    assert.deepEqual(shares(stepRollout(goal("two", 70), before, start)), { one: 30, two: 40 });
    assert.deepEqual(shares(stepRollout(goal("two", 25), before, start)), { one: 5, two: 20 });
    assert.deepEqual(shares(stepRollout(goal("two", 10), before, start)), { two: 10 });
  });

  it("is nothing for one per cent, for what was not there before, and without a state that makes sense", () => {
    assert.deepEqual(shares(stepRollout(goal("two", 1), goal("one", 1), start)), { two: 1 });
    assert.deepEqual(shares(stepRollout(goal("two"), [], start)), { two: 100 });
    assert.equal(parseRollout("nonsense"), undefined);
    assert.equal(parseRollout(JSON.stringify([{ ...goal("one")[0], percent: 50 }])), undefined);
    assert.deepEqual(parseRollout(JSON.stringify(goal("one"))), goal("one"));
  });
});
