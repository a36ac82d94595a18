/**
 * A process that opens a store and reads everything in it, history included: `node read-all.ts FOLDER`. Says on a line either what it read, as a digest, or why the store was
 * refused. For stores that may be damaged: whatever happens to this process, nobody else is harmed.
 */
import { createHash } from "node:crypto";
import { writeSync } from "node:fs";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import { StoreUnusable } from "#store/store.ts";
import { Recorder, showEntry, showEvent } from "#store/suite/support.ts";

try {
  const store = await openLmdbStore({ folder: process.argv[2] ?? "", reserveBytes: 0 });
  const { entries } = await store.range({ prefix: "" });
  const recorder = new Recorder();
  await store.watch({ prefix: "", afterRevision: store.compactedRevision() }, recorder);
  await recorder.reached(store.currentRevision());
  const all = [store.currentRevision(), ...entries.map((entry) => showEntry(entry)), ...recorder.events.map(showEvent)];
  await store.close();
  writeSync(1, JSON.stringify({ digest: createHash("sha256").update(all.join("\n")).digest("hex") }));
} catch (error) {
  if (!(error instanceof StoreUnusable)) throw error;
  writeSync(1, JSON.stringify({ refused: error.message, why: error.why }));
}
