import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { LmdbDatabase } from "#store/lmdb/database.ts";
import { type Libc, loadLibc } from "#store/lmdb/libc.ts";
import { MappedMemory } from "#store/lmdb/mapped-memory.ts";
import { withFolder } from "#store/lmdb/testing/temporary-folder.ts";

const MIB = 1 << 20;

test("the map of the store's file, and no other, is let go when 32 MiB are mapped", async () => {
  await withFolder(async (folder) => {
    const file = join(folder, "data.mdb");
    const database = LmdbDatabase.open(file, { maxBytes: 64 * MIB });
    const other = LmdbDatabase.open(join(folder, "other.mdb"), { maxBytes: 32 * MIB });
    const released: bigint[] = [];
    const libc: Libc = { ...loadLibc(), letGoOfMap: (_address, bytes) => void released.push(bytes) };
    let mapped = 40 * MIB;
    const memory = new MappedMemory(file, libc, { mappedBytes: () => mapped });

    mapped = 71 * MIB;
    memory.touched(MIB);
    assert.deepEqual(released, []);
    mapped = 73 * MIB;
    memory.touched(1000);
    assert.deepEqual(released, [], "too little was touched for a look");
    memory.touched(MIB);
    assert.deepEqual(released, [BigInt(64 * MIB)]);

    memory.stop();
    await Promise.all([database.close(), other.close()]);
  });
});

test("16 MiB of it are let go in the next pause, and not while somebody reads or writes", async () => {
  await withFolder(async (folder) => {
    const file = join(folder, "data.mdb");
    const database = LmdbDatabase.open(file, { maxBytes: 64 * MIB });
    const clock = new FakeClock();
    let released = 0;
    const libc: Libc = { ...loadLibc(), letGoOfMap: () => void released++ };
    let mapped = 40 * MIB;
    const memory = new MappedMemory(file, libc, { clock, mappedBytes: () => mapped });

    mapped = 57 * MIB;
    memory.touched(MIB);
    for (let i = 0; i < 5; i++) {
      await clock.advance(150);
      memory.touched(1000);
    }
    assert.equal(released, 0);
    await clock.advance(400);
    assert.equal(released, 1);

    memory.stop();
    await database.close();
  });
});

test("ten seconds after something was touched all is let go, but not while a transaction writes", async () => {
  await withFolder(async (folder) => {
    const file = join(folder, "data.mdb");
    const database = LmdbDatabase.open(file, { maxBytes: 64 * MIB });
    const clock = new FakeClock();
    let released = 0;
    const libc: Libc = { ...loadLibc(), letGoOfMap: () => void released++ };
    let mapped = 40 * MIB;
    const memory = new MappedMemory(file, libc, { clock, mappedBytes: () => mapped });

    memory.touched(1000);
    mapped = 42 * MIB;
    memory.isWriting = true;
    await clock.advance(10_000);
    assert.equal(released, 0);
    memory.isWriting = false;
    await clock.advance(10_000);
    assert.equal(released, 1);
    mapped = 50 * MIB;
    await clock.advance(60_000);
    assert.equal(released, 1, "nothing was touched since");

    memory.stop();
    await database.close();
  });
});

test("what was let go is there again when it is read", async () => {
  await withFolder(async (folder) => {
    const file = join(folder, "data.mdb");
    const database = LmdbDatabase.open(file, { maxBytes: 64 * MIB });
    const names = Array.from({ length: 2000 }, (_, i) => `/key-${String(i).padStart(4, "0")}`);
    const entryOf = (key: string) => ({ key, value: Buffer.alloc(1500, key), createRevision: 2, modRevision: 2 });
    const entries = new Map(names.map((key) => [key, entryOf(key)]));
    await database.commit({ entries, log: [], dropLog: undefined, state: { revision: 2, compactedRevision: 2 } });
    database.readEntries({ prefix: "/", start: "/", limit: 2000 });
    const before = mappedKiB(file);

    let looks = 0;
    new MappedMemory(file, loadLibc(), { mappedBytes: () => (looks++ === 0 ? 0 : 32 * MIB) }).touched(MIB);

    assert.ok(before > 2000 && mappedKiB(file) < 100, `${before} KiB, then ${mappedKiB(file)} KiB`);
    for (const key of names) assert.deepEqual(database.readEntry(key), entryOf(key));
    await database.close();
  });
});

/** How much of the file's map is in memory. */
function mappedKiB(file: string): number {
  let isFile = false;
  let sum = 0;
  for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    if (/^[0-9a-f]+-/.test(line)) isFile = line.endsWith(file);
    else if (isFile && line.startsWith("Rss:")) sum += Number.parseInt(line.slice(4), 10);
  }
  return sum;
}
