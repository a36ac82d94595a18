import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";

const source = resolve(import.meta.dirname, "../src");

test("hooks around each test stand in a describe: unit tests share a process, and outside of one they run around every test of every file", () => {
  const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".test.ts"));
  const wrong = files.filter((name) => /^(beforeEach|afterEach)\(/m.test(readFileSync(join(source, name), "utf8")));

  assert.ok(files.length > 100);
  assert.deepEqual(wrong, []);
});
