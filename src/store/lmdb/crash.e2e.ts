import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import { withFolder } from "#store/lmdb/testing/temporary-folder.ts";
import type { Store, StoreEvent } from "#store/store.ts";
import { Recorder, text } from "#store/suite/support.ts";

const ROUNDS = 12;
const program = fileURLToPath(new URL("./testing/crash-writer.ts", import.meta.url));

/** What a killed writer had been told: per key, the number last written and its revision. */
type Acknowledged = Map<string, { readonly number: number; readonly revision: number }>;

test("a store whose process is killed at any moment keeps every acknowledged write, and its revision does not go back", async () => {
  await withFolder(async (folder) => {
    for (let round = 0; round < ROUNDS; round++) {
      const acknowledged = await writeAndKill(folder);

      const store = await openLmdbStore({ folder, reserveBytes: 0 });
      await checkAcknowledged(store, acknowledged);
      await checkTwins(store);
      await checkHistory(store);
      await store.close();
    }
  });
});

test("a killed process leaves its store unlocked; a living one keeps it, and is named", async () => {
  await withFolder(async (folder) => {
    const child = spawn(process.execPath, [program, folder], { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve) => child.stdout.once("data", resolve));

    await assert.rejects(openLmdbStore({ folder }), {
      kind: "StoreUnusable",
      why: "locked",
      message: new RegExp(`in use by process ${child.pid}$`),
    });
    await kill(child);

    await (await openLmdbStore({ folder, reserveBytes: 0 })).close();
  });
});

async function writeAndKill(folder: string): Promise<Acknowledged> {
  const child = spawn(process.execPath, [program, folder], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  await new Promise((resolve) => child.stdout.once("data", resolve));
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 250));
  await kill(child);
  const acknowledged: Acknowledged = new Map();
  for (const line of output.split("\n").slice(0, -1)) {
    const [writer, number, revision] = line.split(" ").map(Number) as [number, number, number];
    acknowledged.set(`/key/${writer}/${number % 20}`, { number, revision });
  }
  return acknowledged;
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("close", resolve));
}

async function checkAcknowledged(store: Store, acknowledged: Acknowledged): Promise<void> {
  assert.ok(acknowledged.size > 0);
  for (const [key, { number, revision }] of acknowledged) {
    const entry = await store.get(key);
    const found = Number.parseInt(text(entry?.value) ?? "", 10);
    assert.ok(found >= number, `${key} was acknowledged with ${number}, but holds ${found}`);
    if (found === number) assert.equal(entry!.modRevision, revision);
    assert.ok(store.currentRevision() >= revision);
  }
}

async function checkTwins(store: Store): Promise<void> {
  const twins = new Map((await store.range({ prefix: "/twin/" })).entries.map((entry) => [entry.key, entry]));
  for (const entry of (await store.range({ prefix: "/key/" })).entries) {
    const twin = twins.get(entry.key.replace("/key/", "/twin/"));
    const isDeleted = Number.parseInt(text(entry.value)!, 10) % 5 === 0;
    assert.equal(twin?.modRevision, isDeleted ? undefined : entry.modRevision);
    assert.equal(text(twin?.value), isDeleted ? undefined : text(entry.value));
  }
}

/** The history that is left is complete, and replayed onto its first state gives the newest. */
async function checkHistory(store: Store): Promise<void> {
  const from = store.compactedRevision() + 1;
  const state = new Map(
    (await store.range({ prefix: "/", revision: from })).entries.map(({ key, value }) => [key, text(value)]),
  );
  const recorder = new Recorder();
  const stop = await store.watch({ prefix: "/", afterRevision: from }, recorder);
  await recorder.reached(store.currentRevision());
  stop();
  for (const event of recorder.events) replay(state, event);

  const newest = (await store.range({ prefix: "/" })).entries.map(({ key, value }) => [key, text(value)]);
  assert.deepEqual([...state].sort(), newest.sort());
}

function replay(state: Map<string, string | undefined>, event: StoreEvent): void {
  if (event.type === "delete") state.delete(event.key);
  else state.set(event.key, text(event.value));
}
