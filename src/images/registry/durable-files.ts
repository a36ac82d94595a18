/**
 * Files that are there whole or not at all, and still there after the power fails: their bytes and the folder that names them are on the disk before anybody is told.
 */
import { randomBytes } from "node:crypto";
import { copyFile, link, mkdir, open, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Writes a file in the place of any that is there. `temporary` is a folder of the same file system. */
export async function writeDurably(path: string, bytes: Uint8Array | string, temporary: string): Promise<void> {
  const part = join(temporary, `file-${randomBytes(8).toString("hex")}`);
  await writeFile(part, bytes, { flush: true });
  await intoFolder(dirname(path), () => rename(part, path));
  await syncFolder(dirname(path));
}

/** Gives a file that is on the disk already another name. One that is there stays. */
export async function linkDurably(file: string, path: string, temporary: string): Promise<void> {
  const make = () =>
    link(file, path).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code === "EEXIST") return;
      // A file has 65,000 names at most on some file systems, and one on others.
      if (error.code !== "EMLINK" && error.code !== "EPERM" && error.code !== "ENOTSUP") throw error;
      await copyDurably(file, path, temporary);
    });
  await intoFolder(dirname(path), make);
  await syncFolder(dirname(path));
}

const mostAttempts = 20;

/** Makes the folder and then puts something into it; again where another process removed the folder, empty as it was, between the two. */
export async function intoFolder<T>(folder: string, put: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      await ensureFolder(folder);
      return await put();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || attempt === mostAttempts) throw error;
    }
  }
}

async function copyDurably(file: string, path: string, temporary: string): Promise<void> {
  const part = join(temporary, `file-${randomBytes(8).toString("hex")}`);
  try {
    await copyFile(file, part);
    await syncFolder(part);
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

async function ensureFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made));
}

/** What a folder names is on the disk; of a file, its bytes. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r").catch((error: NodeJS.ErrnoException) => {
    // Removed again by somebody else, with what was in it.
    if (error.code !== "ENOENT") throw error;
  });
  if (!handle) return;
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
