/**
 * Checks a data file in a process of its own, because LMDB believes what it reads: a damaged page can end the process that reads it with a
 * signal. Run before opening whenever the store was not closed in order.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compareKeys } from "#store/keys.ts";
import { LmdbDatabase } from "#store/lmdb/database.ts";
import { findFileDamage } from "#store/lmdb/file-check.ts";
import { dataFile, damaged } from "#store/lmdb/folder.ts";
import { StoreUnusable } from "#store/store.ts";

/** What the checking process prints last. */
type Verdict = { readonly damage?: string };

/** Reads every record of the store in `folder`. Resolves when all is well, throws {@link StoreUnusable} naming what is damaged. */
export async function checkInOwnProcess(folder: string, program: readonly string[] = checkProgram()): Promise<void> {
  const [command, ...args] = [...program, folder];
  const child = spawn(command!, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let complaints = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(-4096)));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaints = (complaints + text).slice(-2048)));
  const end = await new Promise<string>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  const lines = output.trimEnd().split("\n");
  const verdict = end === "exit code 0" ? (JSON.parse(lines.at(-1)!) as Verdict) : undefined;
  if (verdict?.damage !== undefined) throw damaged(folder, verdict.damage);
  if (!verdict)
    throw damaged(folder, `reading it ended with ${end} after ${lines.at(-1) || "no record"}. ${complaints}`.trimEnd());
}

/** Checks the store in `folder` in this process. `progress` hears now and then which record is next. Gives what is damaged. */
export async function findDamage(folder: string, progress: (record: string) => void): Promise<string | undefined> {
  try {
    progress("the structure of the file");
    const structural = findFileDamage(dataFile(folder));
    if (structural !== undefined) return structural;
    const database = LmdbDatabase.open(dataFile(folder), { maxBytes: 1 << 30, isReadOnly: true });
    try {
      walk(database, progress);
      return undefined;
    } finally {
      await database.close();
    }
  } catch (error) {
    if (error instanceof StoreUnusable) return error.message.replace(/^the store is damaged: /, "");
    return error instanceof Error ? error.message : String(error);
  }
}

/** Throws when a record is damaged, missing, or in the wrong place. */
function walk(database: LmdbDatabase, progress: (record: string) => void): void {
  const state = database.readState();
  if (!state) throw damage("the counters are missing");
  const newest = walkEntries(database, progress);
  if (newest > state.revision) throw damage(`revision ${newest} is newer than the counters say`);
  walkLog(database, state, progress);
}

const SLICE = 256;

function walkEntries(database: LmdbDatabase, progress: (record: string) => void): number {
  let newest = 0;
  let count = 0;
  let last = "";
  for (let start = "", isEnd = false; !isEnd; start = `${last}\0`) {
    progress(last === "" ? "the first key" : `key ${JSON.stringify(last)}`);
    const slice = database.readEntries({ prefix: "", start, limit: SLICE });
    for (const { key, modRevision } of slice.entries) {
      if (count++ > 0 && compareKeys(last, key) >= 0) throw damage(`key ${JSON.stringify(key)} is out of order`);
      last = key;
      newest = Math.max(newest, modRevision);
    }
    isEnd = slice.isEnd;
  }
  const { entries } = database.counts();
  if (entries !== count)
    throw damage(`${entries} keys are counted, but ${count} can be read, the last is ${JSON.stringify(last)}`);
  return newest;
}

function walkLog(
  database: LmdbDatabase,
  state: { readonly revision: number; readonly compactedRevision: number },
  progress: (record: string) => void,
): void {
  const first = database.firstLogRevision() ?? state.revision + 1;
  // A compaction that was interrupted leaves records from before.
  if (first > Math.max(state.compactedRevision + 1, 2)) throw damage(`log record ${first - 1} is missing`);
  let expected = first;
  for (; expected <= state.revision; ) {
    progress(`log record ${expected}`);
    const to = Math.min(expected + SLICE - 1, state.revision);
    database.readLog(expected, to, (revision) => {
      if (revision !== expected++) throw damage(`log record ${expected - 1} is missing`);
      return (_key, _type, _existed, readBefore) => void readBefore();
    });
    if (expected !== to + 1) throw damage(`log record ${expected} is missing`);
  }
  const last = database.lastLogRevision();
  if (last !== undefined && last > state.revision) throw damage(`log record ${last} is newer than the counters say`);
}

function damage(what: string): StoreUnusable {
  return new StoreUnusable("damaged", `the store is damaged: ${what}`);
}

/** The command that runs check-main.ts; in the bundle that is an entry point of its own. */
function checkProgram(): readonly string[] {
  const places = ["./check-main.ts", "./store-check.js", "../store-check.js"];
  const files = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  return [process.execPath, files.find((file) => existsSync(file)) ?? files[0]!];
}
