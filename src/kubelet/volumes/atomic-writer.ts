/**
 * Changes all files of a volume at once: they are written into a new folder, and one rename of the link `..data` shows them. What users see are links through `..data`.
 * As pkg/volume/util/atomic_writer.go.
 */
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
  unlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join, normalize } from "node:path";

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

/** Makes the volume at `folder` show exactly these files. Nothing changes when they are there already. `gid` owns them where given. */
export async function writeAtomically(folder: string, payload: Payload, gid: number | undefined): Promise<void> {
  for (const path of payload.keys()) checkPath(path);
  const oldFolder = await readlink(join(folder, dataLink)).catch(() => undefined);
  const old = oldFolder === undefined ? undefined : join(folder, oldFolder);
  if (old === undefined || !(await holds(old, payload))) await publish(folder, payload, gid, old);
  await showLinks(folder, payload);
}

async function publish(
  folder: string,
  payload: Payload,
  gid: number | undefined,
  old: string | undefined,
): Promise<void> {
  const stamp = new Date().toISOString().replace(/[-:]/g, "_").replace("T", "_").slice(0, 19);
  const fresh = await mkdtemp(join(folder, `..${stamp}.`));
  await chmod(fresh, 0o755);
  await Promise.all([...payload].map(([path, file]) => writeOne(fresh, path, file, gid)));
  if (gid !== undefined) await chown(fresh, -1, gid).then(() => chmod(fresh, 0o2755));
  const next = join(folder, newDataLink);
  await rm(next, { force: true });
  await symlink(fresh.slice(folder.length + 1), next);
  await rename(next, join(folder, dataLink));
  if (old !== undefined) await rm(old, { recursive: true, force: true });
}

async function writeOne(folder: string, path: string, file: ProjectedFile, gid: number | undefined): Promise<void> {
  const target = join(folder, path);
  await mkdir(dirname(target), { recursive: true, mode: 0o755 });
  await writeFile(target, file.data, { mode: 0o600 });
  if (gid !== undefined || file.uid !== undefined) await chown(target, file.uid ?? -1, gid ?? -1);
  // After the change of owner, which clears set-id bits; whatever the umask is.
  await chmod(target, gid === undefined ? file.mode : file.mode | 0o440);
}

/** True when the folder holds these files and no others. */
async function holds(folder: string, payload: Payload): Promise<boolean> {
  const present = await listFiles(folder).catch(() => undefined);
  if (present?.length !== payload.size) return false;
  for (const path of present) {
    const wanted = payload.get(path);
    if (!wanted) return false;
    const data = await readFile(join(folder, path)).catch(() => undefined);
    if (!data || Buffer.compare(data, wanted.data) !== 0) return false;
  }
  return true;
}

async function listFiles(folder: string, below = ""): Promise<string[]> {
  const entries = await readdir(join(folder, below), { withFileTypes: true });
  const lists = entries.map(async (entry) => {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    return entry.isDirectory() ? listFiles(folder, path) : [path];
  });
  return (await Promise.all(lists)).flat();
}

/** Links at the top of the volume for what is in it, none for what is not. */
async function showLinks(folder: string, payload: Payload): Promise<void> {
  const wanted = new Set([...payload.keys()].map((path) => normalize(path).split("/")[0] as string));
  const present = (await readdir(folder)).filter((name) => !name.startsWith(".."));
  for (const name of wanted) if (!present.includes(name)) await symlink(join(dataLink, name), join(folder, name));
  for (const name of present) {
    if (!wanted.has(name) && (await lstat(join(folder, name))).isSymbolicLink()) await unlink(join(folder, name));
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
