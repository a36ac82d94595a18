import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createLogger, type Logger, type LogLevel } from "./logger.ts";

function written(level: LogLevel, log: (logger: Logger) => void): readonly Record<string, unknown>[] {
  const folder = mkdtempSync(join(tmpdir(), "logger-"));
  const file = join(folder, "log");
  const descriptor = openSync(file, "a");
  try {
    log(createLogger({ level, fileDescriptor: descriptor }));
    return readFileSync(file, "utf8")
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  } finally {
    closeSync(descriptor);
    rmSync(folder, { recursive: true });
  }
}

test("a line has level, time, the logger's fields, its own and the message", () => {
  const [line] = written("info", (logger) => logger.with({ node: "n1" }).warn("Lost a lease", { pod: "a/b" }));

  const { time, ...rest } = line ?? {};
  assert.deepEqual(rest, { level: "warn", node: "n1", pod: "a/b", message: "Lost a lease" });
  assert.match(String(time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
});

test("what is below the level is not written", () => {
  const lines = written("info", (logger) => {
    logger.debug("A step");
    logger.error("A failure");
  });

  assert.deepEqual(
    lines.map(({ message }) => message),
    ["A failure"],
  );
});

test("errors are written with their stack, at any depth, and what is no JSON costs no line", () => {
  const cycle: Record<string, unknown> = {};
  cycle["self"] = cycle;

  const lines = written("info", (logger) => {
    logger.error("Failed", { error: new Error("why"), more: { cause: new TypeError("deep") } });
    logger.info("Cycled", { cycle });
  });

  assert.match(String(lines[0]?.["error"]), /^Error: why\n {4}at /);
  assert.match(JSON.stringify(lines[0]?.["more"]), /TypeError: deep/);
  assert.equal(lines[1]?.["message"], "Cycled");
});

test("a descriptor that cannot be written to is no error", () => {
  const descriptor = openSync("/dev/null", "r");
  closeSync(descriptor);

  createLogger({ level: "info", fileDescriptor: descriptor }).info("Said");
});

test("a log on a full disk ends nobody who writes to it", () => {
  const full = openSync("/dev/full", "w");
  const logger = createLogger({ level: "info", fileDescriptor: full });

  assert.doesNotThrow(() => {
    for (let line = 0; line < 20; line++) logger.warn("Found no room", { line });
  });
  closeSync(full);
});
