import assert from "node:assert/strict";
import { test } from "node:test";
import { findDurationMs, formatDuration, humanDuration } from "./duration.ts";
import { scaledValue } from "./int-or-string.ts";
import { findTimeMs, formatMicroTime, formatTime } from "./time.ts";

test("durations are read and written as Go does", () => {
  assert.equal(findDurationMs("1h30m0.5s"), 5400500);
  assert.equal(findDurationMs("-2s"), -2000);
  assert.equal(findDurationMs("2"), undefined);
  assert.equal(formatDuration(5400500), "1h30m0.5s");
  assert.equal(formatDuration(250), "250ms");
  assert.equal(formatDuration(3600000), "1h0m0s");
});

test("ages are shown as kubectl shows them", () => {
  const cases: readonly (readonly [number, string])[] = [
    [119, "119s"],
    [120, "2m"],
    [312, "5m12s"],
    [601, "10m"],
    [3 * 3600, "3h"],
    [47 * 3600, "47h"],
    [49 * 3600, "2d1h"],
    [400 * 86400, "400d"],
    [-5, "<invalid>"],
  ];
  for (const [seconds, text] of cases) assert.equal(humanDuration(seconds * 1000), text);
});

test("times have whole seconds, micro times six digits", () => {
  assert.equal(formatTime(1767225600999), "2026-01-01T00:00:00Z");
  assert.equal(formatMicroTime(1767225600123.456), "2026-01-01T00:00:00.123456Z");
  assert.equal(findTimeMs("2026-01-01T01:00:00+01:00"), 1767225600000);
  assert.equal(findTimeMs("2026-01-01"), undefined);
});

test("percentages round up or down, other strings are refused", () => {
  assert.equal(scaledValue("25%", 10, true), 3);
  assert.equal(scaledValue("25%", 10, false), 2);
  assert.equal(scaledValue(4, 10, false), 4);
  assert.throws(() => scaledValue("a", 10, true), {
    message: "invalid value for IntOrString: invalid type: string is not a percentage",
  });
});
