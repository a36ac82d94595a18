/**
 * The few things that durable data needs from a file system, behind contracts, so that tests can fill the disk, break a sync or take the power away. The one place where errors of the system are
 * translated.
 */
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

/** A file that is open. All methods throw {@link DiskError}. */
export interface DiskFile {
  /** Fills `into` from `offset` on, and gives how many bytes there were. */
  read(into: Uint8Array, offset: number): Promise<number>;
  /** Writes all of it. A failed call may have written a part. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /** Resolves when all that was written is on the disk (fdatasync). */
  sync(): Promise<void>;
  /** Cuts off what is behind `size` bytes. */
  truncate(size: number): Promise<void>;
  /** In bytes. */
  size(): Promise<number>;
  /** May be called twice. */
  close(): Promise<void>;
}

/** A folder of such files. All methods throw {@link DiskError}. */
export interface DiskFolder {
  /** Names in it, in no order. */
  list(): Promise<readonly string[]>;
  /** Opens a file to read and write; with `isNew` one that is not there yet. */
  open(name: string, options?: { readonly isNew?: boolean }): Promise<DiskFile>;
  /** Takes the place of what has that name already. */
  rename(from: string, to: string): Promise<void>;
  /** What is not there is success. */
  remove(name: string): Promise<void>;
  /** Resolves when names made, changed and removed are on the disk. */
  sync(): Promise<void>;
}

/** The disk could not do it. `DiskFull` passes when there is space again. */
export class DiskError extends Error {
  readonly kind: "DiskFull" | "DiskFailed";
  constructor(kind: "DiskFull" | "DiskFailed", doing: string, cause: unknown) {
    const why = kind === "DiskFull" ? "the disk is full" : (cause as Error).message;
    super(`${doing}: ${why}`, { cause });
    this.kind = kind;
  }
}

/** A folder of the machine; made when it is not there. */
export async function openDiskFolder(path: string): Promise<DiskFolder> {
  await translated(`making ${path}`, mkdir(path, { recursive: true, mode: 0o700 }));
  return new MachineFolder(path);
}

class MachineFolder implements DiskFolder {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async list(): Promise<readonly string[]> {
    return await translated(`listing ${this.#path}`, readdir(this.#path));
  }

  async open(name: string, { isNew = false } = {}): Promise<DiskFile> {
    const path = join(this.#path, name);
    const flags = constants.O_RDWR | (isNew ? constants.O_CREAT | constants.O_EXCL : 0);
    return new MachineFile(path, await translated(`opening ${path}`, open(path, flags, 0o600)));
  }

  async rename(from: string, to: string): Promise<void> {
    await translated(`renaming ${join(this.#path, from)}`, rename(join(this.#path, from), join(this.#path, to)));
  }

  async remove(name: string): Promise<void> {
    await translated(`removing ${join(this.#path, name)}`, rm(join(this.#path, name), { force: true }));
  }

  async sync(): Promise<void> {
    const doing = `syncing ${this.#path}`;
    const handle = await translated(doing, open(this.#path, constants.O_RDONLY | constants.O_DIRECTORY));
    try {
      await translated(doing, handle.sync());
    } finally {
      await handle.close();
    }
  }
}

class MachineFile implements DiskFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  #isClosed = false;

  constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  async read(into: Uint8Array, offset: number): Promise<number> {
    let filled = 0;
    while (filled < into.length) {
      const reading = this.#handle.read(into, filled, into.length - filled, offset + filled);
      const { bytesRead } = await translated(`reading ${this.#path}`, reading);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled;
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    // A disk that fills up takes a part first, and tells of it at the next call.
    for (let written = 0; written < bytes.length; ) {
      const writing = this.#handle.write(bytes, written, bytes.length - written, offset + written);
      written += (await translated(`writing ${this.#path}`, writing)).bytesWritten;
    }
  }

  async sync(): Promise<void> {
    await translated(`syncing ${this.#path}`, this.#handle.datasync());
  }

  async truncate(size: number): Promise<void> {
    await translated(`cutting ${this.#path}`, this.#handle.truncate(size));
  }

  async size(): Promise<number> {
    return (await translated(`looking at ${this.#path}`, this.#handle.stat())).size;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#handle.close();
  }
}

async function translated<T>(doing: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new DiskError(code === "ENOSPC" || code === "EDQUOT" ? "DiskFull" : "DiskFailed", doing, cause);
  }
}
