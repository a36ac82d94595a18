/**
 * A process that writes to a store until it is killed: `node crash-writer.ts FOLDER`. Says of each write on a line what was acknowledged, and only
 * then: `WRITER NUMBER REVISION`.
 */
import { writeSync } from "node:fs";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";

const WRITERS = 8;
const store = await openLmdbStore({ folder: process.argv[2] ?? "", reserveBytes: 0 });
const start = store.currentRevision();

/** Two keys in one write, the second sometimes deleted, over and over. */
async function write(writer: number): Promise<never> {
  for (let number = start; ; number++) {
    const value = Buffer.from(`${number} ${"x".repeat((number * 37) % 3000)}`);
    const twin = number % 5 === 0 ? undefined : value;
    const result = await store.write([
      { key: `/key/${writer}/${number % 20}`, value, expectedRevision: undefined },
      { key: `/twin/${writer}/${number % 20}`, value: twin, expectedRevision: undefined },
    ]);
    writeSync(1, `${writer} ${number} ${result.revision}\n`);
  }
}

async function compactNowAndThen(): Promise<never> {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    await store.compact(Math.max(store.compactedRevision(), store.currentRevision() - 300));
  }
}

await Promise.all([...Array.from({ length: WRITERS }, (_, writer) => write(writer)), compactNowAndThen()]);
