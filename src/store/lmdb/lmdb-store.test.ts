import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import { storeSuite } from "#store/store-suite.ts";

storeSuite("the LMDB store", async () => {
  const folder = await mkdtemp(join(tmpdir(), "nodeless-store-"));
  const store = await openLmdbStore({ folder, reserveBytes: 0 });
  return { store, dispose: () => rm(folder, { recursive: true }) };
});
