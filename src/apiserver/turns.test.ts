import assert from "node:assert/strict";
import { test } from "node:test";
import { StepTurns } from "./turns.ts";

/** Steps that each take as long as a turn may. */
function* slowSteps(name: string, count: number, log: string[]): Generator<void, string> {
  for (let index = 0; index < count; index++) {
    const startedMs = performance.now();
    while (performance.now() - startedMs < 3);
    log.push(name);
    yield;
  }
  return name;
}

test("work in steps is done piece by piece, one in each turn, and all who have some are served in a circle", async () => {
  const turns = new StepTurns();
  const log: string[] = [];
  const done: string[] = [];
  let isRunning = true;
  const tick = (): void => {
    log.push("|");
    if (isRunning) setImmediate(tick);
  };

  const all = ["a", "b", "c"].map(async (name) => {
    done.push(await turns.takeSteps(slowSteps(name, 2, log)));
  });
  setImmediate(tick);
  await Promise.all(all);
  isRunning = false;

  assert.deepEqual(done, ["a", "b", "c"]);
  assert.deepEqual(
    log.filter((entry) => entry !== "|"),
    ["a", "b", "c", "a", "b", "c"],
  );
  assert.doesNotMatch(log.join(""), /[abc]{2}/);
});

test("steps that fail end their own work alone", async () => {
  const turns = new StepTurns();
  function* failing(): Generator<void, void> {
    yield;
    throw new Error("no");
  }

  const failed = turns.takeSteps(failing());
  const fine = turns.takeSteps(slowSteps("a", 1, []));

  await assert.rejects(failed, { message: "no" });
  assert.equal(await fine, "a");
});
