import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findFileDamage } from "#store/lmdb/file-check.ts";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import { withFolder } from "#store/lmdb/testing/temporary-folder.ts";
import type { Store } from "#store/store.ts";

const ROUNDS = 40;
const WRITES = 1500;
const KEYS = 1000;

test("under steady churn with compaction the file stops growing, whole in structure after every close", async () => {
  await withFolder(async (folder) => {
    const sizes: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const store = await openLmdbStore({ folder, reserveBytes: 0 });
      await churn(store);
      await store.close();
      assert.equal(findFileDamage(join(folder, "data.mdb")), undefined);
      sizes.push(statSync(join(folder, "data.mdb")).size);
    }

    const [early, late] = [sizes[9]!, sizes.at(-1)!];
    assert.ok(late <= early * 1.3, `the file grew from ${early} to ${late} bytes`);
  });
});

async function churn(store: Store): Promise<void> {
  for (let written = 0; written < WRITES; written += 300) {
    await Promise.all(Array.from({ length: 300 }, () => store.write([randomChange()])));
    await store.compact(Math.max(store.compactedRevision(), store.currentRevision() - 500));
  }
}

function randomChange(): {
  readonly key: string;
  readonly value: Buffer | undefined;
  readonly expectedRevision: undefined;
} {
  const size = Math.random() < 0.05 ? 40_000 : 1500;
  const value = Math.random() < 0.3 ? undefined : Buffer.alloc(Math.floor(Math.random() * size), "v");
  return { key: `/key/${Math.floor(Math.random() * KEYS)}`, value, expectedRevision: undefined };
}
