/**
 * Disk space held by a file that is never read.
 */
import { closeSync, openSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Libc } from "#store/lmdb/libc.ts";
import type { Reserve } from "#store/lmdb/room.ts";

/** A reserve of `bytes` in the file `reserve` of a folder. */
export function reserveFile(folder: string, bytes: number, libc: Libc): Reserve {
  const path = join(folder, "reserve");
  const release = (): void => rmSync(path, { force: true });
  return {
    take() {
      if (bytes === 0 || isHeld(path, bytes)) return true;
      if (allocate(path, bytes, libc)) return true;
      release();
      return false;
    },
    release,
  };
}

function isHeld(path: string, bytes: number): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && stat.size === bytes && stat.blocks * 512 >= bytes;
}

function allocate(path: string, bytes: number, libc: Libc): boolean {
  let file: number | undefined;
  try {
    file = openSync(path, "w", 0o600);
    return libc.allocate(file, bytes);
  } catch {
    // A disk so full that it has no room for a file's name.
    return false;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
