import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import { type Store, StoreFull } from "#store/store.ts";
import { commit, put, remove } from "#store/suite/support.ts";
import { withFolder } from "#store/lmdb/testing/temporary-folder.ts";

const MIB = 1 << 20;
const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : "only root can mount a small file system";

test("on a full disk creates fail with StoreFull, deletes work, and with room again everything does", {
  skip,
}, async () => {
  await onSmallDisk(24 * MIB, async (disk) => {
    const clock = new FakeClock();
    const folder = join(disk, "store");
    const store = await openLmdbStore({ folder, reserveBytes: 4 * MIB, clock });
    await commit(store, put("/lease", "1"));

    const written = await fillUp(store);
    assert.ok(written > 300, `only ${written} entries found room`);
    const revision = store.currentRevision();
    await assert.rejects(store.write([put("/new", "1")]), StoreFull);
    assert.equal(store.currentRevision(), revision);
    assert.equal((await store.range({ prefix: "/fill/" })).entries.length, written);

    await commit(store, put("/lease", "2"));
    for (let i = 0; i < written; i++) await commit(store, remove(`/fill/${i}`));
    await store.compact(store.currentRevision());
    await clock.advance(2000);
    for (let i = 0; i < 100; i++) await commit(store, put(`/again/${i}`, "x".repeat(20_000)));

    await store.close();
    const reopened = await openLmdbStore({ folder, reserveBytes: 4 * MIB });
    assert.equal((await reopened.range({ prefix: "/again/" })).entries.length, 100);
    await reopened.close();
  });
});

test("somebody else's file that fills the disk stops creates only until it is gone", { skip }, async () => {
  await onSmallDisk(24 * MIB, async (disk) => {
    const clock = new FakeClock();
    const store = await openLmdbStore({ folder: join(disk, "store"), reserveBytes: 4 * MIB, clock });
    await commit(store, put("/a", "1"));
    spawnSync("dd", ["if=/dev/zero", `of=${join(disk, "big")}`, "bs=64k", "count=1000"]);
    writeFileSync(join(disk, "small"), "");

    await fillUp(store);
    await commit(store, remove("/fill/0"));
    rmSync(join(disk, "big"));
    await clock.advance(2000);

    for (let i = 0; i < 50; i++) await commit(store, put(`/again/${i}`, "x".repeat(20_000)));
    await store.close();
  });
});

test("a store at its largest size refuses creates and takes deletes", async () => {
  await withFolder(async (folder) => {
    const clock = new FakeClock();
    const store = await openLmdbStore({ folder, reserveBytes: 0, maxBytes: 8 * MIB, clock });

    const written = await fillUp(store);
    assert.ok(written * 20_000 < 24 * MIB);
    for (let i = 0; i < written; i++) await commit(store, remove(`/fill/${i}`));
    await store.compact(store.currentRevision());
    await clock.advance(2000);

    for (let i = 0; i < 100; i++) await commit(store, put(`/again/${i}`, "x".repeat(20_000)));
    await store.close();
  });
});

/** Writes until there is no room; gives the number of entries. */
async function fillUp(store: Store): Promise<number> {
  for (let i = 0; ; i++) {
    try {
      await commit(store, put(`/fill/${i}`, "x".repeat(20_000)));
    } catch (error) {
      assert.ok(error instanceof StoreFull, String(error));
      return i;
    }
  }
}

async function onSmallDisk(bytes: number, body: (disk: string) => Promise<void>): Promise<void> {
  const disk = mkdtempSync(join(tmpdir(), "nodeless-disk-"));
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "nodeless-test", disk], {
    encoding: "utf8",
  });
  assert.equal(mounted.status, 0, mounted.stderr);
  try {
    await body(disk);
  } finally {
    spawnSync("umount", ["--lazy", disk]);
    rmdirSync(disk);
  }
}
