/**
 * Small files that are there as a whole or not at all: written beside the old one, synced, and put in its place.
 */
import type { DiskFolder } from "./disk-files.ts";

/** Resolves when the file has this content on the disk; a crash leaves the old one or the new one. Not for two at a time. Throws DiskError. */
export async function replaceFile(folder: DiskFolder, name: string, content: Uint8Array): Promise<void> {
  const temporary = `${name}.new`;
  await folder.remove(temporary);
  const file = await folder.open(temporary, { isNew: true });
  try {
    await file.write(content, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await folder.rename(temporary, name);
  await folder.sync();
}

/** The file's content, or undefined when it is not there. Throws DiskError. */
export async function readWholeFile(folder: DiskFolder, name: string): Promise<Buffer | undefined> {
  if (!(await folder.list()).includes(name)) return undefined;
  const file = await folder.open(name);
  try {
    const content = Buffer.alloc(await file.size());
    return content.subarray(0, await file.read(content, 0));
  } finally {
    await file.close();
  }
}
