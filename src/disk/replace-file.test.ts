import assert from "node:assert/strict";
import { test } from "node:test";
import { readWholeFile, replaceFile } from "./replace-file.ts";
import { MemoryDisk } from "./testing/memory-disk.ts";

test("after a power cut the file is the old one or the new one", async () => {
  const disk = new MemoryDisk();
  assert.equal(await readWholeFile(disk, "f"), undefined);
  await replaceFile(disk, "f", Buffer.from("old".repeat(1000)));
  const before = disk.events.length;
  await replaceFile(disk, "f", Buffer.from("new".repeat(1000)));

  const found = new Set<string>();
  for (let moment = before; moment <= disk.events.length; moment++) {
    for (const survives of [true, false]) {
      const content = await readWholeFile(
        disk.afterPowerCut(moment, () => survives),
        "f",
      );
      assert.equal(content?.length, 3000);
      found.add(content?.subarray(0, 3).toString() ?? "");
    }
  }

  assert.deepEqual([...found], ["old", "new"]);
  assert.equal((await readWholeFile(disk, "f"))?.toString(), "new".repeat(1000));
});
