import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { diskUsageOf } from "./disk-usage.ts";

test("folders take what their files take, and those that are not there are left out", async () => {
  const folder = mkdtempSync(join(tmpdir(), "nodeless-du-"));
  try {
    mkdirSync(join(folder, "a\nb/deep"), { recursive: true });
    writeFileSync(join(folder, "a\nb/deep/file"), Buffer.alloc(1 << 20, 1));
    mkdirSync(join(folder, "empty"));

    const usage = await diskUsageOf(["a\nb", "empty", "absent"].map((name) => join(folder, name)));

    const used = usage.get(join(folder, "a\nb")) ?? 0;
    assert.ok(used >= 1 << 20 && used < 2 << 20, String(used));
    assert.ok((usage.get(join(folder, "empty")) ?? -1) >= 0);
    assert.equal(usage.has(join(folder, "absent")), false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
