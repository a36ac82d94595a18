/**
 * hostPath volumes: files and folders of the node, checked for what they should be. Messages as pkg/volume/hostpath.
 */
import { mkdir, open, stat } from "node:fs/promises";
import type { Stats } from "node:fs";
import { dirname } from "node:path";
import type { HostPathVolumeSource } from "#api/generated/types/core-v1.ts";

/** Makes sure that the path is of its type, making it for the …OrCreate types. Throws an Error with upstream's words. */
export async function prepareHostPath({ path, type }: HostPathVolumeSource): Promise<void> {
  // What cannot be looked at is not of its type either, and that is what is said.
  const found = await stat(path).catch(() => undefined);
  switch (type ?? "") {
    case "":
      return;
    case "DirectoryOrCreate":
      if (!found) return void (await mkdir(path, { recursive: true, mode: 0o755 }));
      return check(found, (it) => it.isDirectory(), path, "directory");
    case "FileOrCreate":
      if (!found) return makeFile(path);
      return check(found, (it) => it.isFile(), path, "file");
    case "Directory":
      return check(found, (it) => it.isDirectory(), path, "directory");
    case "File":
      return check(found, (it) => it.isFile(), path, "file");
    case "Socket":
      return check(found, (it) => it.isSocket(), path, "socket file");
    case "CharDevice":
      return check(found, (it) => it.isCharacterDevice(), path, "character device");
    case "BlockDevice":
      return check(found, (it) => it.isBlockDevice(), path, "block device");
    default:
      throw new Error(`${type} is an invalid volume type`);
  }
}

function check(found: Stats | undefined, holds: (stats: Stats) => boolean, path: string, what: string): void {
  if (!found || !holds(found)) throw new Error(`hostPath type check failed: ${path} is not a ${what}`);
}

async function makeFile(path: string): Promise<void> {
  await stat(dirname(path)); // as upstream: the folder must be there
  const file = await open(path, "a", 0o644);
  await file.close();
}
