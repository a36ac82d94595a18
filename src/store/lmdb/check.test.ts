import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { checkInOwnProcess, findDamage } from "#store/lmdb/check.ts";
import { LmdbDatabase } from "#store/lmdb/database.ts";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import type { LogRecord } from "#store/lmdb/records.ts";
import { withFolder } from "#store/lmdb/testing/temporary-folder.ts";
import type { StoreEntry } from "#store/store.ts";
import { commit, put } from "#store/suite/support.ts";

test("a checking process that a signal ends means damage, after the record that it was at", async () => {
  const script = `console.log('key "/a"'); process.kill(process.pid, "SIGBUS")`;

  await assert.rejects(checkInOwnProcess("/the/store", [process.execPath, "-e", script]), {
    kind: "StoreUnusable",
    why: "damaged",
    message: 'the store in /the/store is damaged: reading it ended with SIGBUS after key "/a".',
  });
});

test("a checking process that cannot run is no proof of a whole store", async () => {
  const refusal = { kind: "StoreUnusable", why: "damaged" };
  await assert.rejects(checkInOwnProcess("/the/store", [process.execPath, "-e", "process.exit(3)"]), refusal);
  await assert.rejects(checkInOwnProcess("/the/store", ["/no/such/program"]), { code: "ENOENT" });
});

test("records that do not fit together are found, although each is whole", async () => {
  const log = (revision: number): LogRecord => ({ revision, changes: [{ type: "put", key: "/a", before: undefined }] });
  const entry = (modRevision: number): StoreEntry => ({
    key: "/a",
    value: Buffer.from("1"),
    createRevision: 2,
    modRevision,
  });
  const cases = [
    { log: [log(2), log(3)], entry: entry(3), revision: 3, damage: undefined },
    { log: [log(2)], entry: entry(3), revision: 3, damage: "log record 3 is missing" },
    { log: [log(3)], entry: entry(3), revision: 3, damage: "log record 2 is missing" },
    { log: [log(2), log(3)], entry: entry(3), revision: 2, damage: "revision 3 is newer than the counters say" },
    { log: [log(2), log(3)], entry: entry(2), revision: 2, damage: "log record 3 is newer than the counters say" },
  ];
  for (const { log, entry, revision, damage } of cases) {
    await withFolder(async (folder) => {
      const database = LmdbDatabase.open(join(folder, "data.mdb"), { maxBytes: 1 << 20 });
      const state = { revision, compactedRevision: 0 };
      await database.commit({ entries: new Map([["/a", entry]]), log, dropLog: undefined, state });
      await database.close();

      assert.equal(await findDamage(folder, () => {}), damage);
    });
  }
});

test("the check says which record is next while it goes", async () => {
  await withFolder(async (folder) => {
    const store = await openLmdbStore({ folder, reserveBytes: 0 });
    await Promise.all(Array.from({ length: 400 }, (_, i) => commit(store, put(`/key-${1000 + i}`, "1"))));
    await store.close();
    const said: string[] = [];

    assert.equal(await findDamage(folder, (record) => said.push(record)), undefined);

    assert.deepEqual(said, [
      "the structure of the file",
      "the first key",
      'key "/key-1255"',
      "log record 2",
      "log record 258",
    ]);
  });
});
