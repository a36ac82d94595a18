import assert from "node:assert/strict";
import type { ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { ResetGuard } from "./reset-guard.ts";

function connection() {
  const calls: unknown[][] = [];
  const session = { destroyed: false, destroy: (...args: unknown[]) => calls.push(args) };
  const stream = (state: { closed: boolean; headersSent: boolean }) =>
    ({ session, ...state }) as unknown as ServerHttp2Stream;
  return { calls, stream };
}

test("streams that come and go in one turn without an answer end their connection", () => {
  const { calls, stream } = connection();
  const guard = new ResetGuard();

  const arrivals = Array.from({ length: 40 }, () => guard.arrived(stream({ closed: true, headersSent: false })));

  assert.equal(arrivals[0], true);
  assert.equal(arrivals.at(-1), false);
  assert.notEqual(calls.length, 0);
});

test("streams that are answered in the turn in which they came are nobody's resets", () => {
  const { calls, stream } = connection();
  const guard = new ResetGuard();

  const arrivals = Array.from({ length: 1000 }, () => guard.arrived(stream({ closed: true, headersSent: true })));

  assert.ok(arrivals.every(Boolean));
  assert.deepEqual(calls, []);
});
