import assert from "node:assert/strict";
import { test } from "node:test";
import { criLines } from "./log-writer.ts";

const time = "2026-01-01T00:00:00.000Z";

test("whole lines are written, the rest waits for its end", () => {
  const { lines, rest } = criLines("stdout", Buffer.from("one\ntwo\nthr"), time);

  assert.equal(lines.toString(), `${time} stdout F one\n${time} stdout F two\n`);
  assert.equal(rest.toString(), "thr");
});

test("a line that is too long comes in pieces, and its end is marked", () => {
  const { lines, rest } = criLines("stderr", Buffer.from(`${"x".repeat(8192 + 3)}\n`), time);

  assert.equal(lines.toString(), `${time} stderr P ${"x".repeat(8192)}\n${time} stderr F xxx\n`);
  assert.equal(rest.length, 0);
});
