import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, openSync, closeSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { criLines, LogWriter, outputFifos } from "./log-writer.ts";

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

test("on a full disk lines are lost, and nothing else is; that is told once", async () => {
  const folder = mkdtempSync(join(tmpdir(), "log-writer-"));
  for (const fifo of Object.values(outputFifos)) assert.equal(spawnSync("mkfifo", [join(folder, fifo)]).status, 0);
  const failures: unknown[] = [];
  const writer = new LogWriter(folder, "/dev/full", (error) => failures.push(error));
  for (const fifo of Object.values(outputFifos)) {
    const end = openSync(join(folder, fifo), "w");
    writeSync(end, "one\ntwo");
    closeSync(end);
  }

  await writer.drained();
  writer.close();
  rmSync(folder, { recursive: true });

  assert.deepEqual(
    failures.map((error) => (error as NodeJS.ErrnoException).code),
    ["ENOSPC"],
  );
});
