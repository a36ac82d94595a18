/**
 * Paths inside volumes that a container may be writing to while we look: a link put there at the wrong moment must not lead us out of the volume (CVE-2017-1002101,
 * CVE-2021-25741). A path is resolved once, checked, and then walked part by part without following links; what comes out is an open file, not a name.
 */
import { constants } from "node:fs";
import { chmod, mkdir, open, realpath } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join, relative } from "node:path";

/** From <fcntl.h>: only names the file, needs no right to read it. Node has no constant for it. */
const O_PATH = 0o10000000;

/** Opens what `path` names inside `root`. Links are followed as long as they stay inside. Throws when it leaves, or with ENOENT. The caller closes it. */
export async function openInside(root: string, path: string): Promise<FileHandle> {
  const base = await realpath(root);
  const full = await realpath(join(base, path));
  return walk(base, partsBelow(base, full, path), false);
}

/** As {@link openInside}, and makes missing folders with this mode. */
export async function openOrMakeInside(root: string, path: string, mode: number): Promise<FileHandle> {
  try {
    return await openInside(root, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const base = await realpath(root);
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new Error(`${path} leaves the volume`);
  const existing = await longestExisting(base, parts);
  const inside = partsBelow(base, existing.path, path);
  return walk(base, [...inside, ...parts.slice(existing.count)], true, mode);
}

/** The text of a file inside `root`, at most 1 MiB of it. */
export async function readInside(root: string, path: string): Promise<string> {
  const named = await openInside(root, path);
  try {
    const file = await open(`/proc/self/fd/${named.fd}`, "r");
    try {
      const buffer = Buffer.alloc(1024 * 1024);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
      return buffer.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  } finally {
    await named.close();
  }
}

async function longestExisting(
  base: string,
  parts: readonly string[],
): Promise<{ readonly path: string; readonly count: number }> {
  for (let count = parts.length; count > 0; count -= 1) {
    try {
      return { path: await realpath(join(base, ...parts.slice(0, count))), count };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  return { path: base, count: 0 };
}

function partsBelow(base: string, full: string, asked: string): readonly string[] {
  const path = relative(base, full);
  if (path === ".." || path.startsWith("../")) throw new Error(`${asked} leaves the volume`);
  return path.split("/").filter(Boolean);
}

/** Goes from folder to folder by descriptor; a part that is a link by now is refused. */
async function walk(base: string, parts: readonly string[], makes: boolean, mode = 0o750): Promise<FileHandle> {
  let current = await open(base, O_PATH | constants.O_NOFOLLOW);
  try {
    for (const part of parts) {
      const next = `/proc/self/fd/${current.fd}/${part}`;
      const isNew = makes && (await makeFolder(next));
      const opened = await open(next, O_PATH | constants.O_NOFOLLOW);
      await current.close();
      current = opened;
      if ((await current.stat()).isSymbolicLink()) throw new Error(`unexpected symlink found ${part}`);
      // By its descriptor: the name may lead elsewhere by now. And whatever the umask is.
      if (isNew) await chmod(`/proc/self/fd/${current.fd}`, mode);
    }
    return current;
  } catch (error) {
    await current.close().catch(() => undefined);
    throw error;
  }
}

/** False when something was there already. */
async function makeFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}
