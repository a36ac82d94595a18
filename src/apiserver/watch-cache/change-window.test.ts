/** How much may be behind, for all resources together. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ChangeWindow } from "./change-window.ts";

test("changes fall out when about 16 MiB came after them", () => {
  const window = new ChangeWindow();
  const moved: number[] = [];
  for (let revision = 1; revision <= 4000; revision++) if (window.add(revision, 10_000)) moved.push(revision);

  const held = (4000 - window.start) * 10_000;
  assert.ok(held > 14 << 20 && held < 18 << 20, `${held} bytes are held`);
  assert.ok(moved.length < 30, `moved ${moved.length} times`);
});

test("small changes fall out too, and large ones make as much room as they take", () => {
  const window = new ChangeWindow();
  for (let revision = 1; revision <= 100_000; revision++) window.add(revision, 0);
  assert.ok(window.start > 60_000);

  window.add(100_001, 17 << 20);
  assert.equal(window.start, 100_001);
});
