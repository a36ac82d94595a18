import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { StatusError } from "#apimachinery/status-error.ts";
import { FakeClock } from "#component-base/clock.ts";
import { RefusedWrites, WriteRefused } from "./refused-writes.ts";

const write = { wanted: { replicas: 1 }, what: 'create Deployment "x"' };

function refusing(code: number): { readonly calls: () => number; readonly write: () => Promise<never> } {
  let calls = 0;
  return {
    calls: () => calls,
    write: () => Promise.reject(new StatusError({ reason: "Forbidden", code, message: `no ${++calls}` })),
  };
}

async function refusal(promise: Promise<unknown>): Promise<WriteRefused> {
  const error = await promise.then(
    () => assert.fail("was not refused"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof WriteRefused, String(error));
  return error;
}

describe("RefusedWrites", () => {
  it("does not ask again before its time, and waits longer each time", async () => {
    const clock = new FakeClock();
    const writes = new RefusedWrites(clock);
    const api = refusing(403);

    const first = await refusal(writes.attempt("a", write, api.write));
    const second = await refusal(writes.attempt("a", write, api.write));
    await clock.advance(1000);
    const third = await refusal(writes.attempt("a", write, api.write));

    assert.equal(first.message, 'Failed to create Deployment "x": no 1');
    assert.deepEqual([first.isNews, first.retryAfterMs], [true, 1000]);
    assert.deepEqual([second.message, second.isNews], [first.message, false]);
    assert.deepEqual([third.isNews, third.retryAfterMs], [true, 2000]);
    assert.equal(api.calls(), 2);
  });

  it("asks at once when something else is wanted, and begins anew after a success", async () => {
    const clock = new FakeClock();
    const writes = new RefusedWrites(clock);
    const api = refusing(422);

    await refusal(writes.attempt("a", write, api.write));
    const other = await refusal(writes.attempt("a", { ...write, wanted: { replicas: 2 } }, api.write));
    await clock.advance(1000);
    const made = await writes.attempt("a", { ...write, wanted: { replicas: 2 } }, async () => "made");
    const again = await refusal(writes.attempt("a", write, api.write));

    assert.equal(other.isNews, true);
    assert.equal(made, "made");
    assert.equal(again.retryAfterMs, 1000);
  });

  it("leaves errors that are no refusals to the queue", async () => {
    const writes = new RefusedWrites(new FakeClock());

    await assert.rejects(writes.attempt("a", write, refusing(409).write), StatusError);
    await assert.rejects(writes.attempt("a", write, refusing(503).write), StatusError);
  });
});
