import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { test } from "node:test";
import { createLogger } from "./logger.ts";

test("a log on a full disk ends nobody who writes to it", () => {
  const full = openSync("/dev/full", "w");
  const logger = createLogger({ level: "info", fileDescriptor: full });

  assert.doesNotThrow(() => {
    for (let line = 0; line < 20; line++) logger.warn("Found no room", { line });
  });
  closeSync(full);
});
