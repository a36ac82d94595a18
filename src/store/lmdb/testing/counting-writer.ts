/**
 * A process that writes in bursts, compacts now and then, and says what was acknowledged: `node counting-writer.ts FOLDER`, lines `NUMBER REVISION`.
 * Number N goes to the key /key/(N mod 16).
 */
import { writeSync } from "node:fs";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";

const store = await openLmdbStore({ folder: process.argv[2] ?? "", reserveBytes: 0 });

async function write(number: number): Promise<void> {
  const value = Buffer.from(`${number} ${"x".repeat((number * 701) % 9000)}`);
  const result = await store.write([{ key: `/key/${number % 16}`, value, expectedRevision: undefined }]);
  writeSync(1, `acknowledged ${number} ${result.revision}\n`);
}

for (let number = 0; number < 200; ) {
  const burst = 1 + (number % 7);
  await Promise.all(Array.from({ length: burst }, (_, i) => write(number + i)));
  number += burst;
  if (number % 5 === 0) await store.compact(Math.max(store.compactedRevision(), store.currentRevision() - 30));
}
await store.close();
