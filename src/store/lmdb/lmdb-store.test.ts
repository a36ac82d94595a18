import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import { immediateStoreSuite, storeSuite } from "#store/store-suite.ts";

const makeStore = async () => {
  const folder = await mkdtemp(join(tmpdir(), "nodeless-store-"));
  const store = await openLmdbStore({ folder, reserveBytes: 0 });
  return { store, dispose: () => rm(folder, { recursive: true }) };
};

storeSuite("the LMDB store", makeStore);
immediateStoreSuite("the LMDB store", makeStore);
