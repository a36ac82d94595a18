import assert from "node:assert/strict";
import { copyFileSync, cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findFileDamage } from "#store/lmdb/file-check.ts";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import { withFolder } from "#store/lmdb/testing/temporary-folder.ts";
import { StoreUnusable } from "#store/store.ts";
import { Recorder, showEntry, showEvent } from "#store/suite/support.ts";

const FLIPS = 60;
const TRUNCATIONS = 10;
const OVERLOOKED = 25;

test("a data file with any byte changed is refused with what is damaged, or gives what was written", async () => {
  await withFolder(async (folder) => {
    const original = join(folder, "original");
    const expected = await fill(original);
    const file = readFileSync(join(original, "data.mdb"));
    let refused = 0;

    for (let i = 0; i < FLIPS; i++) {
      const at = Math.floor(Math.random() * file.length);
      const bit = 1 << Math.floor(Math.random() * 8);
      const outcome = await reopen(original, join(folder, "copy"), (path) => {
        const changed = Buffer.from(file);
        changed[at]! ^= bit;
        writeFileSync(path, changed);
      });
      if (outcome === "refused") refused++;
      else assert.deepEqual(outcome, expected, `bit ${bit} of byte ${at} changed what is read`);
    }

    assert.ok(refused > FLIPS / 4, `only ${refused} of ${FLIPS} changes were noticed`);
  });
});

test("a data file that was cut off is refused", async () => {
  await withFolder(async (folder) => {
    const original = join(folder, "original");
    const expected = await fill(original);
    const { length } = readFileSync(join(original, "data.mdb"));

    for (let i = 0; i < TRUNCATIONS; i++) {
      const outcome = await reopen(original, join(folder, "copy"), (path) => {
        copyFileSync(join(original, "data.mdb"), path);
        truncateSync(path, Math.floor(Math.random() * length));
      });
      if (outcome !== "refused") assert.deepEqual(outcome, expected);
    }
  });
});

test("any bit of the file's structure that changes is noticed, or changes nothing that is read or written later", async () => {
  await withFolder(async (folder) => {
    const original = join(folder, "original");
    const expected = await fill(original);
    const file = readFileSync(join(original, "data.mdb"));
    const copy = join(folder, "copy");
    const path = join(folder, "probe.mdb");
    const overlooked: number[] = [];

    for (const at of structuralBytes(file)) {
      for (const bit of [1 << Math.floor(Math.random() * 8), 1 << Math.floor(Math.random() * 8)]) {
        file[at]! ^= bit;
        writeFileSync(path, file);
        if (findFileDamage(path) === undefined) overlooked.push(at * 256 + bit);
        file[at]! ^= bit;
      }
    }
    // What the structure does not show must be harmless, or be found by reading the records.
    for (let i = 0; i < OVERLOOKED && overlooked.length > 0; i++) {
      const [flip] = overlooked.splice(Math.floor(Math.random() * overlooked.length), 1) as [number];
      const outcome = await reopen(original, copy, (target) => {
        const changed = Buffer.from(file);
        changed[flip >> 8]! ^= flip & 255;
        writeFileSync(target, changed);
      });
      if (outcome === "refused") continue;
      assert.deepEqual(outcome, expected, `bit ${flip & 255} of byte ${flip >> 8} changed what is read`);
      await fill(copy);
      assert.equal(findFileDamage(join(copy, "data.mdb")), undefined, `after bit ${flip & 255} of byte ${flip >> 8}`);
    }
  });
});

/** The meta pages, and of some other pages the headers, the pointers and the beginnings of nodes. */
function structuralBytes(file: Buffer): readonly number[] {
  const bytes = Array.from({ length: 2 * 176 }, (_, i) => (i % 176) + (i < 176 ? 0 : 4096));
  for (let page = 2; page < file.length / 4096; page += 1 + Math.floor(Math.random() * 12)) {
    for (let i = 0; i < 32; i++) bytes.push(page * 4096 + i);
    const node = page * 4096 + 24 + file.readUInt16LE(page * 4096 + 24);
    for (let i = 0; i < 12 && node + i < file.length; i++) bytes.push(node + i);
  }
  return bytes;
}

/** Writes something of everything: entries small and large, changes, deletes, history, free pages. Gives what can be read. */
async function fill(folder: string): Promise<readonly string[]> {
  const store = await openLmdbStore({ folder, reserveBytes: 0 });
  for (let round = 0; round < 6; round++) {
    await Promise.all(
      Array.from({ length: 60 }, (_, i) => {
        const value = i % 7 === round ? undefined : Buffer.from(`${round} ${"v".repeat((i * 97) % 9000)}`);
        return store.write([{ key: `/things/number-${i}`, value, expectedRevision: undefined }]);
      }),
    );
    if (round === 2) await store.compact(store.currentRevision());
  }
  await store.close();
  return readAll(folder);
}

async function readAll(folder: string): Promise<readonly string[]> {
  const store = await openLmdbStore({ folder, reserveBytes: 0 });
  try {
    const { entries } = await store.range({ prefix: "" });
    const recorder = new Recorder();
    await store.watch({ prefix: "", afterRevision: store.compactedRevision() }, recorder);
    await recorder.reached(store.currentRevision());
    return [
      `${store.currentRevision()}`,
      ...entries.map((entry) => showEntry(entry)!),
      ...recorder.events.map(showEvent),
    ];
  } finally {
    await store.close();
  }
}

async function reopen(
  original: string,
  copy: string,
  makeData: (path: string) => void,
): Promise<readonly string[] | "refused"> {
  rmSync(copy, { recursive: true, force: true });
  cpSync(original, copy, { recursive: true });
  makeData(join(copy, "data.mdb"));
  try {
    return await readAll(copy);
  } catch (error) {
    assert.ok(error instanceof StoreUnusable, String(error));
    assert.equal(error.why, "damaged");
    return "refused";
  }
}
