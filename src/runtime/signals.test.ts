import assert from "node:assert/strict";
import { test } from "node:test";
import { signalNumber } from "./signals.ts";

test("signals are known by name, by number and by their place among the real-time ones", () => {
  assert.deepEqual(
    ["SIGTERM", "quit", "9", "SIGRTMIN+3", "SIGRTMAX-1", "SIGRTMIN"].map(signalNumber),
    [15, 3, 9, 37, 63, 34],
  );
});

test("without one, or with an unknown one, it is SIGTERM", () => {
  assert.deepEqual([undefined, "", "SIGNONSENSE"].map(signalNumber), [15, 15, 15]);
});
