/**
 * A process that writes once and says so: `node one-write.ts FOLDER`. For looking at its system calls.
 */
import { writeSync } from "node:fs";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";

const store = await openLmdbStore({ folder: process.argv[2] ?? "", reserveBytes: 0 });
writeSync(1, "opened\n");
await store.write([{ key: "/key", value: Buffer.alloc(10_000, "v"), expectedRevision: 0 }]);
writeSync(1, "acknowledged\n");
await store.close();
