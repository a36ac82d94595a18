/**
 * Changes all files of a volume at once: they are written into a new folder, and one rename of the link `..data` shows them. What users see are links through `..data`.
 * As pkg/volume/util/atomic_writer.go. Synchronous but for turns between many files: a pod waits, and a small file takes 0.1 ms so, several trips through the thread pool otherwise.
 */
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";

/** One file: its bytes and mode (0o644). */
export type ProjectedFile = {
  readonly data: Uint8Array;
  readonly mode: number;
  /** Owner, where it is not root. */
  readonly uid?: number;
};

/** Files by their path in the volume. */
export type Payload = ReadonlyMap<string, ProjectedFile>;

const dataLink = "..data";
const newDataLink = "..data_tmp";

/** Files that are written in one turn of the event loop. */
const filesPerTurn = 16;

/** Makes the volume at `folder` show exactly these files. Nothing changes when they are there already. `gid` owns them where given. */
export async function writeAtomically(folder: string, payload: Payload, gid: number | undefined): Promise<void> {
  for (const path of payload.keys()) checkPath(path);
  const oldFolder = shownFolder(folder);
  const old = oldFolder === undefined ? undefined : join(folder, oldFolder);
  if (old === undefined || !holds(old, payload)) await publish(folder, payload, gid, old);
  showLinks(folder, payload);
}

/** What `..data` leads to; undefined where nothing was shown yet. */
function shownFolder(folder: string): string | undefined {
  try {
    return readlinkSync(join(folder, dataLink));
  } catch {
    return undefined;
  }
}

async function publish(
  folder: string,
  payload: Payload,
  gid: number | undefined,
  old: string | undefined,
): Promise<void> {
  const stamp = new Date().toISOString().replace(/[-:]/g, "_").replace("T", "_").slice(0, 19);
  const fresh = mkdtempSync(join(folder, `..${stamp}.`));
  chmodSync(fresh, 0o755);
  let count = 0;
  for (const [path, file] of payload) {
    writeOne(fresh, path, file, gid);
    if (++count % filesPerTurn === 0) await nextTurn();
  }
  if (gid !== undefined) {
    chownSync(fresh, -1, gid);
    chmodSync(fresh, 0o2755);
  }
  const next = join(folder, newDataLink);
  rmSync(next, { force: true });
  symlinkSync(fresh.slice(folder.length + 1), next);
  renameSync(next, join(folder, dataLink));
  if (old !== undefined) await rm(old, { recursive: true, force: true });
}

function writeOne(folder: string, path: string, file: ProjectedFile, gid: number | undefined): void {
  const target = join(folder, path);
  const parent = dirname(target);
  if (parent !== folder) mkdirSync(parent, { recursive: true, mode: 0o755 });
  writeFileSync(target, file.data, { mode: 0o600 });
  if (gid !== undefined || file.uid !== undefined) chownSync(target, file.uid ?? -1, gid ?? -1);
  // After the change of owner, which clears set-id bits; whatever the umask is.
  chmodSync(target, gid === undefined ? file.mode : file.mode | 0o440);
}

/** True when the folder holds these files and no others. */
function holds(folder: string, payload: Payload): boolean {
  try {
    const present = listFiles(folder);
    if (present.length !== payload.size) return false;
    return present.every((path) => {
      const wanted = payload.get(path);
      return wanted !== undefined && Buffer.compare(readFileSync(join(folder, path)), wanted.data) === 0;
    });
  } catch {
    // Somebody took something away: it is written anew.
    return false;
  }
}

function listFiles(folder: string, below = ""): string[] {
  const entries = readdirSync(join(folder, below), { withFileTypes: true });
  return entries.flatMap((entry) => {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    return entry.isDirectory() ? listFiles(folder, path) : [path];
  });
}

/** Links at the top of the volume for what is in it, none for what is not. */
function showLinks(folder: string, payload: Payload): void {
  const wanted = new Set([...payload.keys()].map((path) => normalize(path).split("/")[0] as string));
  const present = readdirSync(folder).filter((name) => !name.startsWith(".."));
  for (const name of wanted) if (!present.includes(name)) symlinkSync(join(dataLink, name), join(folder, name));
  for (const name of present) {
    if (!wanted.has(name) && lstatSync(join(folder, name)).isSymbolicLink()) unlinkSync(join(folder, name));
  }
}

/** Throws for paths that would leave the volume or hide the writer's own names. */
export function checkPath(path: string): void {
  const isBad =
    path === "" ||
    path.startsWith("/") ||
    path.length > 4096 ||
    path.split("/").some((part) => part === ".." || part.length > 255);
  if (isBad) throw new Error(`invalid path: must be relative and not contain '..': ${path}`);
  if (path.startsWith("..")) throw new Error(`invalid path: must not start with '..': ${path}`);
}
