/**
 * fsGroup: gives a volume to a group, so that containers of any user can share it. As pkg/volume/volume_linux.go SetVolumeOwnership.
 */
import { lchown, lstat, readdir, chmod } from "node:fs/promises";
import { join } from "node:path";

const readWriteMask = 0o660;
const folderMask = 0o110;
const setGroupId = 0o2000;

/** Hands everything in the folder to `gid`, readable and writable for it. With OnRootMismatch only when the folder itself is not so yet. */
export async function giveToGroup(folder: string, gid: number, policy: string | undefined): Promise<void> {
  if (policy === "OnRootMismatch") {
    const { gid: owner, mode } = await lstat(folder);
    const wanted = readWriteMask | folderMask | setGroupId;
    if (owner === gid && (mode & wanted) === wanted) return;
  }
  await give(folder, gid);
}

async function give(path: string, gid: number): Promise<void> {
  const stats = await lstat(path);
  await lchown(path, stats.uid, gid);
  if (stats.isSymbolicLink()) return;
  const mask = stats.isDirectory() ? readWriteMask | folderMask | setGroupId : readWriteMask;
  await chmod(path, (stats.mode & 0o7777) | mask);
  if (!stats.isDirectory()) return;
  for (const name of await readdir(path)) await give(join(path, name), gid);
}
