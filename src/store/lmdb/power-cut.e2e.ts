import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import { type DiskEvent, fileAfterPowerCut, readDiskTrace } from "#store/lmdb/testing/disk-trace.ts";
import { withFolder } from "#store/lmdb/testing/temporary-folder.ts";
import { text } from "#store/suite/support.ts";

const CUTS = 24;
const program = fileURLToPath(new URL("./testing/counting-writer.ts", import.meta.url));
const hasStrace = spawnSync("strace", ["-V"]).status === 0;
const skip = hasStrace ? false : "strace is not installed";

test("whatever of the unsynced sectors reached the disk when the power failed, every acknowledged write is there", {
  skip,
}, async () => {
  await withFolder(async (folder) => {
    const original = join(folder, "store");
    const events = trace(original, join(folder, "trace"));
    const firstOutput = events.findIndex(({ kind }) => kind === "output");

    for (let i = 0; i < CUTS; i++) {
      const moment = firstOutput + Math.floor(Math.random() * (events.length - firstOutput));
      const share = [0, 0.5, 0.95, 1][i % 4]!;
      const copy = join(folder, "copy");
      rmSync(copy, { recursive: true, force: true });
      cpSync(original, copy, { recursive: true });
      rmSync(join(copy, "closed"), { force: true });
      writeFileSync(
        join(copy, "data.mdb"),
        fileAfterPowerCut(events, moment, () => Math.random() < share),
      );

      await checkStore(copy, events.slice(0, moment));
    }
  });
});

function trace(folder: string, path: string): readonly DiskEvent[] {
  const calls = "trace=openat,lseek,write,writev,pwrite64,fdatasync";
  const args = ["-f", "-xx", "-s", "200000", "-e", calls, "-o", path, process.execPath, program, folder];
  assert.equal(spawnSync("strace", args).status, 0);
  const events = readDiskTrace(readFileSync(path, "latin1"), "data.mdb");
  // The trace is understood only if it gives the file that is there.
  assert.ok(fileAfterPowerCut(events, events.length, () => true).equals(readFileSync(join(folder, "data.mdb"))));
  assert.ok(events.filter(({ kind }) => kind === "output").length >= 200);
  return events;
}

async function checkStore(folder: string, past: readonly DiskEvent[]): Promise<void> {
  const store = await openLmdbStore({ folder, reserveBytes: 0 });
  try {
    for (const event of past) {
      if (event.kind !== "output") continue;
      const [, number, revision] = event.text.split(" ").map(Number) as [number, number, number];
      const found = Number.parseInt(text((await store.get(`/key/${number % 16}`))?.value) ?? "", 10);
      assert.ok(
        found >= number && found % 16 === number % 16,
        `number ${number} was acknowledged, but ${found} is there`,
      );
      assert.ok(store.currentRevision() >= revision);
    }
  } finally {
    await store.close();
  }
}
