/**
 * A disk in memory that can be full, fail to sync, be damaged, and lose its power: it remembers what was done to it in order, and gives the disks that a power cut at any moment may leave.
 */
import { DiskError, type DiskFile, type DiskFolder } from "#disk/disk-files.ts";

type DiskEvent =
  | { readonly kind: "write"; readonly file: MemoryFile; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: "truncate"; readonly file: MemoryFile; readonly size: number }
  | { readonly kind: "sync"; readonly file: MemoryFile }
  | { readonly kind: "names"; readonly names: ReadonlyMap<string, MemoryFile>; readonly isSynced: boolean };

const sectorBytes = 512;

/** One folder on a disk of its own. */
export class MemoryDisk implements DiskFolder {
  readonly events: DiskEvent[] = [];
  readonly names: Map<string, MemoryFile> = new Map();
  capacityBytes: number = Number.POSITIVE_INFINITY;
  /** Syncs that are to fail. */
  failingSyncs = 0;
  /** Called before each sync, and awaited. */
  beforeSync: () => Promise<void> = async () => undefined;

  get usedBytes(): number {
    return [...this.names.values()].reduce((sum, { content }) => sum + content.length, 0);
  }

  get syncs(): number {
    return this.events.filter(({ kind }) => kind === "sync").length;
  }

  async list(): Promise<readonly string[]> {
    return [...this.names.keys()];
  }

  async open(name: string, { isNew = false }: { readonly isNew?: boolean } = {}): Promise<DiskFile> {
    const known = this.names.get(name);
    if ((known !== undefined) === isNew) throw new DiskError("DiskFailed", `opening ${name}`, new Error("wrong"));
    const file = known ?? new MemoryFile(this);
    this.names.set(name, file);
    if (isNew) this.#noteNames(false);
    return file;
  }

  async rename(from: string, to: string): Promise<void> {
    const file = this.names.get(from);
    if (!file) throw new DiskError("DiskFailed", `renaming ${from}`, new Error("not there"));
    this.names.delete(from);
    this.names.set(to, file);
    this.#noteNames(false);
  }

  async remove(name: string): Promise<void> {
    this.names.delete(name);
    this.#noteNames(false);
  }

  async sync(): Promise<void> {
    this.#noteNames(true);
  }

  /** What is on the disk when the power fails before event `moment`: what was synced, and of the rest what `survives` says, sector by sector and name by name. */
  afterPowerCut(moment: number, survives: () => boolean): MemoryDisk {
    const past = this.events.slice(0, moment);
    const disk = new MemoryDisk();
    let names: ReadonlyMap<string, MemoryFile> = new Map();
    for (const event of past) if (event.kind === "names" && (event.isSynced || survives())) names = event.names;
    for (const [name, file] of names) {
      const copy = new MemoryFile(disk);
      copy.content = contentAfter(past, file, survives);
      disk.names.set(name, copy);
    }
    return disk;
  }

  /** The same disk for another process, after this one was killed: whatever was written is there. */
  afterKill(): MemoryDisk {
    return this.afterPowerCut(this.events.length, () => true);
  }

  #noteNames(isSynced: boolean): void {
    this.events.push({ kind: "names", names: new Map(this.names), isSynced });
  }
}

/** A file on it. */
export class MemoryFile implements DiskFile {
  readonly #disk: MemoryDisk;
  content: Buffer = Buffer.alloc(0);

  constructor(disk: MemoryDisk) {
    this.#disk = disk;
  }

  async read(into: Uint8Array, offset: number): Promise<number> {
    return this.content.copy(into, 0, Math.min(offset, this.content.length), offset + into.length);
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    const grows = Math.max(0, offset + bytes.length - this.content.length);
    const free = this.#disk.capacityBytes - this.#disk.usedBytes;
    const fits = grows <= free ? bytes : bytes.subarray(0, Math.max(0, bytes.length - (grows - Math.max(0, free))));
    this.content = written(this.content, fits, offset);
    this.#disk.events.push({ kind: "write", file: this, offset, bytes: Buffer.from(fits) });
    if (fits !== bytes) throw new DiskError("DiskFull", "writing", new Error("full"));
  }

  async sync(): Promise<void> {
    await this.#disk.beforeSync();
    if (this.#disk.failingSyncs > 0) {
      this.#disk.failingSyncs--;
      throw new DiskError("DiskFailed", "syncing", new Error("input/output error"));
    }
    this.#disk.events.push({ kind: "sync", file: this });
  }

  async truncate(size: number): Promise<void> {
    this.content = resized(this.content, size);
    this.#disk.events.push({ kind: "truncate", file: this, size });
  }

  async size(): Promise<number> {
    return this.content.length;
  }

  async close(): Promise<void> {}
}

function contentAfter(past: readonly DiskEvent[], file: MemoryFile, survives: () => boolean): Buffer {
  const own = past.filter((event) => event.kind !== "names" && event.file === file);
  const lastSync = own.findLastIndex(({ kind }) => kind === "sync");
  let content: Buffer = Buffer.alloc(0);
  for (const [index, event] of own.entries()) {
    const isDurable = index < lastSync;
    if (event.kind === "truncate" && (isDurable || survives())) content = resized(content, event.size);
    if (event.kind !== "write") continue;
    for (let at = 0; at < event.bytes.length; ) {
      const length = sectorBytes - ((event.offset + at) % sectorBytes);
      const sector = event.bytes.subarray(at, at + length);
      if (isDurable || survives()) content = written(content, sector, event.offset + at);
      at += length;
    }
  }
  return content;
}

function written(content: Buffer, bytes: Uint8Array, offset: number): Buffer {
  const result = resized(content, Math.max(content.length, offset + bytes.length));
  result.set(bytes, offset);
  return result;
}

function resized(content: Buffer, size: number): Buffer {
  const result = Buffer.alloc(size);
  content.copy(result, 0, 0, size);
  return result;
}
