/**
 * A recorded run of the store is cut off just before and just after every sync, with none, some or all of what was not yet synced on the disk: every acknowledged write is there, and
 * the history that is left tells the events in order.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import { type DiskEvent, fileAfterPowerCut, readDiskTrace } from "#store/lmdb/testing/disk-trace.ts";
import type { Store } from "#store/store.ts";
import { Recorder, text } from "#store/suite/support.ts";
import { repository } from "../support/cluster.ts";
import type { Fault, FaultContext } from "./fault.ts";

export const powerCuts: Fault = {
  name: "power-cuts",
  claim: "a run cut off at any sync loses no acknowledged write and tells its events in order",
  needs: "strace",
  async run(context) {
    const folder = mkdtempSync(join(tmpdir(), "nodeless-power-"));
    try {
      await cutEverywhere(context, folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function cutEverywhere({ random, size, log }: FaultContext, folder: string): Promise<void> {
  const original = join(folder, "store");
  const events = record(original, join(folder, "trace"));
  const first = events.findIndex(({ kind }) => kind === "output");
  const syncs = events.flatMap((event, index) => (index > first && isSync(event) ? [index, index + 1] : []));
  const moments = size === "long" ? syncs : Array.from({ length: 6 }, () => random.pick(syncs));
  const copy = join(folder, "copy");
  for (const [index, moment] of moments.entries()) {
    const share = [0, 0.5, 0.95, 1][index % 4] ?? 0;
    rmSync(copy, { recursive: true, force: true });
    cpSync(original, copy, { recursive: true });
    rmSync(join(copy, "closed"), { force: true });
    const file = fileAfterPowerCut(events, moment, () => random.next() < share);
    writeFileSync(join(copy, "data.mdb"), file);
    await check(copy, events.slice(0, moment));
  }
  log(`${moments.length} cuts at ${syncs.length / 2} syncs`);
}

/** fdatasync, or a write that returns only when the disk has it, as LMDB's of its meta page. */
function isSync(event: DiskEvent): boolean {
  return event.kind === "sync" || (event.kind === "write" && event.isThrough);
}

function record(folder: string, path: string): readonly DiskEvent[] {
  const program = join(repository, "src/store/lmdb/testing/counting-writer.ts");
  const calls = "trace=openat,lseek,write,writev,pwrite64,fdatasync";
  const args = ["-f", "-xx", "-s", "200000", "-e", calls, "-o", path, process.execPath, program, folder];
  assert.equal(spawnSync("strace", args).status, 0);
  const events = readDiskTrace(readFileSync(path, "latin1"), "data.mdb");
  // The trace is understood only if it gives the file that is there.
  assert.ok(fileAfterPowerCut(events, events.length, () => true).equals(readFileSync(join(folder, "data.mdb"))));
  return events;
}

async function check(folder: string, past: readonly DiskEvent[]): Promise<void> {
  const store = await openLmdbStore({ folder, reserveBytes: 0 });
  try {
    for (const event of past) {
      if (event.kind !== "output") continue;
      const [, number, revision] = event.text.split(" ").map(Number) as [number, number, number];
      const found = Number.parseInt(text((await store.get(`/key/${number % 16}`))?.value) ?? "", 10);
      assert.ok(found >= number && found % 16 === number % 16, `${number} was acknowledged, but ${found} is there`);
      assert.ok(store.currentRevision() >= revision, "the revision went back");
    }
    await checkHistory(store);
  } finally {
    await store.close();
  }
}

/** Each event is newer than the one before it, and of each key the numbers only grow. */
async function checkHistory(store: Store): Promise<void> {
  const recorder = new Recorder();
  const oldest = Math.max(1, store.compactedRevision()); // the first revision is that of an empty store
  const stop = await store.watch({ prefix: "/", afterRevision: oldest }, recorder);
  const newest = store.currentRevision();
  const late = AbortSignal.timeout(10_000);
  await Promise.race([
    newest > oldest ? recorder.reached(newest) : undefined,
    new Promise((_, reject) =>
      late.addEventListener("abort", () =>
        reject(
          new Error(
            `the watch from ${oldest} did not reach ${newest}, but ${recorder.revision}: ${recorder.endings.join(", ")}`,
          ),
        ),
      ),
    ),
  ]);
  stop();
  let revision = oldest;
  const numbers = new Map<string, number>();
  for (const event of recorder.events) {
    assert.ok(event.revision > revision, `revision ${event.revision} came after ${revision}`);
    revision = event.revision;
    const number = Number.parseInt(text(event.value) ?? "", 10);
    assert.ok(number > (numbers.get(event.key) ?? -1), `${event.key} went back to ${number}`);
    numbers.set(event.key, number);
  }
  assert.equal(revision, store.currentRevision(), "the newest event is there");
}
