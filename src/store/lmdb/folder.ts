/**
 * The store's folder: who has it, which format it is of, and whether it was closed in order.
 *
 *   lock       held with flock(2) as long as the store is open; its text is the owner's process id
 *   FORMAT     the version of everything else here
 *   creating   there while a new store is made; what stands beside it is worth nothing
 *   closed     what data.mdb looked like when it was last closed in order; gone while the store is open
 *   data.mdb   LMDB's file (data.mdb-lock: its table of readers)
 *   reserve    holds disk space for bad times
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Libc } from "#store/lmdb/libc.ts";
import { StoreUnusable } from "#store/store.ts";

/** The format that this version writes. */
export const FORMAT_VERSION = 1;

/** Brings a folder from one format to the next. The folder is locked, its database closed. Must bear being stopped and run again. */
export type Migration = { readonly from: number; readonly migrate: (folder: string) => void };

/** All steps from format 1 to {@link FORMAT_VERSION}. */
export const MIGRATIONS: readonly Migration[] = [];

/** Where LMDB's file is. */
export function dataFile(folder: string): string {
  return join(folder, "data.mdb");
}

/** Makes the folder if need be and locks it. The returned function gives it free. Throws {@link StoreUnusable}. */
export function lockFolder(folder: string, libc: Libc): () => void {
  const lock = openLock(folder);
  const outcome = libc.lockFile(lock);
  if (outcome === "locked") {
    ftruncateSync(lock);
    writeSync(lock, `${process.pid}\n`, 0);
    return () => closeSync(lock);
  }
  closeSync(lock);
  if (outcome !== "held by another") throw unwritable(folder, new Error(`flock: errno ${outcome.errno}`));
  const owner = readFileSync(join(folder, "lock"), "utf8").trim();
  throw new StoreUnusable("locked", `the store in ${folder} is in use by process ${owner}`);
}

/** Keeps LMDB's descriptors of the data file, which it opens without O_CLOEXEC, from the programs that this process starts. */
export function hideFromChildren(folder: string, libc: Libc): void {
  const path = realpathSync(dataFile(folder));
  for (const name of readdirSync("/proc/self/fd")) {
    // One of them is readdir's own, and gone by now.
    if (existsSync(`/proc/self/fd/${name}`) && readlinkSync(`/proc/self/fd/${name}`) === path) {
      libc.closeOnExec(Number(name));
    }
  }
}

/** What is in a folder: no store yet, or one of the current format. Migrates older ones. Throws {@link StoreUnusable}. */
export function readFormat(
  folder: string,
  supported: number = FORMAT_VERSION,
  migrations: readonly Migration[] = MIGRATIONS,
): "new" | "current" {
  const hasData = existsSync(dataFile(folder));
  if (existsSync(join(folder, "creating"))) return "new";
  if (!existsSync(join(folder, "FORMAT"))) {
    if (hasData) throw damaged(folder, "the file FORMAT is missing");
    return "new";
  }
  if (!hasData) throw damaged(folder, "the file data.mdb is missing");
  migrateFormat(folder, parseFormat(folder), supported, migrations);
  return "current";
}

/** Begins a new store: what is left of an attempt before is removed. */
export function beginCreating(folder: string): void {
  writeDurably(folder, "creating", "");
  for (const name of ["data.mdb", "data.mdb-lock", "FORMAT", "closed"]) rmSync(join(folder, name), { force: true });
}

/** Ends the making of a new store: from now on its data counts. */
export function endCreating(folder: string): void {
  writeDurably(folder, "FORMAT", `${JSON.stringify({ format: FORMAT_VERSION })}\n`);
  rmSync(join(folder, "creating"));
  syncFolder(folder);
}

/** What is known about how a store was closed. */
export type ClosedMark = {
  /** True when data.mdb is as it was when the store was last closed in order. */
  readonly isUntouched: boolean;
  /** The revision then; 0 when it is not known. */
  readonly revision: number;
};

/** Reads how the store was closed. From now on it counts as open. */
export function takeClosedMark(folder: string): ClosedMark {
  const path = join(folder, "closed");
  if (!existsSync(path)) return { isUntouched: false, revision: 0 };
  const [seen, revision] = readFileSync(path, "utf8").split("\n");
  const isUntouched = seen === look(folder);
  rmSync(path);
  syncFolder(folder);
  return { isUntouched, revision: Number(revision) || 0 };
}

/** Notes that the store was closed in order. */
export function leaveClosedMark(folder: string, revision: number): void {
  writeDurably(folder, "closed", `${look(folder)}\n${revision}\n`);
}

/** Throws what says that a folder cannot be written. */
export function unwritable(folder: string, cause: unknown): StoreUnusable {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new StoreUnusable("unwritable", `the store's folder ${folder} cannot be written: ${reason}`, { cause });
}

/** Throws what says that a store is damaged. */
export function damaged(folder: string, what: string): StoreUnusable {
  return new StoreUnusable("damaged", `the store in ${folder} is damaged: ${what}`);
}

function openLock(folder: string): number {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return openSync(join(folder, "lock"), "a+", 0o600);
  } catch (error) {
    throw unwritable(folder, error);
  }
}

function parseFormat(folder: string): number {
  const text = readFileSync(join(folder, "FORMAT"), "utf8");
  try {
    const { format } = JSON.parse(text) as { readonly format?: unknown };
    if (typeof format === "number" && Number.isInteger(format) && format > 0) return format;
  } catch {
    // Not JSON: falls through to the same complaint.
  }
  throw damaged(folder, `the file FORMAT holds ${JSON.stringify(text.slice(0, 40))}`);
}

function migrateFormat(folder: string, found: number, supported: number, migrations: readonly Migration[]): void {
  if (found > supported) {
    const versions = `it is of format ${found}, this version of nodeless knows formats up to ${supported}`;
    throw new StoreUnusable("newer-format", `the store in ${folder} is newer than this program: ${versions}`);
  }
  for (let version = found; version < supported; version++) {
    const step = migrations.find(({ from }) => from === version);
    if (!step) throw damaged(folder, `there is no way from format ${version} to ${version + 1}`);
    step.migrate(folder);
    writeDurably(folder, "FORMAT", `${JSON.stringify({ format: version + 1 })}\n`);
  }
}

/** Size and times of the data file: whoever touches it after the store was closed changes one of them. */
function look(folder: string): string {
  const { size, mtimeNs, ino } = statSync(dataFile(folder), { bigint: true });
  return JSON.stringify({ size: Number(size), mtimeNs: String(mtimeNs), ino: String(ino) });
}

function writeDurably(folder: string, name: string, text: string): void {
  const temporary = join(folder, `${name}.new`);
  const file = openSync(temporary, "w", 0o600);
  writeFileSync(file, text);
  fsyncSync(file);
  closeSync(file);
  renameSync(temporary, join(folder, name));
  syncFolder(folder);
}

function syncFolder(folder: string): void {
  const handle = openSync(folder, "r");
  fsyncSync(handle);
  closeSync(handle);
}
