/**
 * A small map that outlives crashes: the latest value of each key, all of them in memory, changes appended to a file that is written anew when most of it is history. Each change has a checksum, so
 * that after a power cut a key has its last value or one before it, never half of one.
 */
import { randomInt } from "node:crypto";
import type { DiskFolder } from "./disk-files.ts";
import { frameBytes, headerBytes, writeFrame } from "./journal/record.ts";
import { Segment } from "./journal/segment.ts";

/** History that is borne, beyond twice what is alive. */
const defaultSlackBytes = 256 * 1024;
const mostBytes = 2 ** 24;
const namePattern = /^(\d{10})-([0-9a-f]{8})\.state$/;

/** Keys and values. One process may have it open at a time. */
export class DurableMap {
  readonly #folder: DiskFolder;
  readonly #slackBytes: number;
  readonly #values = new Map<string, Uint8Array>();
  readonly #changed = new Set<string>();
  #segment: Segment;
  #generation: number;
  #end: number;
  #liveBytes = 0;
  /** What a failed write has left is to be cut off first. */
  #isTorn = false;
  #flushing: Promise<void> | undefined;

  private constructor(folder: DiskFolder, slackBytes: number, generation: number, segment: Segment) {
    this.#folder = folder;
    this.#slackBytes = slackBytes;
    this.#generation = generation;
    this.#segment = segment;
    this.#end = segment.base;
  }

  /** Opens or begins the map of a folder. Throws DiskError. `slackBytes`: how much history is borne beyond twice what is alive. */
  static async open(
    folder: DiskFolder,
    { slackBytes = defaultSlackBytes }: { readonly slackBytes?: number } = {},
  ): Promise<DurableMap> {
    const files = (await folder.list()).flatMap((name) => parseName(name) ?? []);
    const newest = files.sort((a, b) => b.generation - a.generation)[0];
    const { name, generation, salt } = newest ?? { ...newName(1), generation: 1 };
    const file = await folder.open(name, { isNew: newest === undefined });
    if (!newest) await folder.sync();
    const segment = new Segment({ name, file, base: 1, salt, mostBytes });
    segment.size = await file.size();
    const map = new DurableMap(folder, slackBytes, generation, segment);
    await map.#load();
    for (const stale of await folder.list())
      if (stale !== name && /\.(state|new)$/.test(stale)) await folder.remove(stale);
    return map;
  }

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  keys(): string[] {
    return [...this.#values.keys()];
  }

  /** Changes the value in memory; {@link flush} writes it. The value must not be changed afterwards. */
  set(key: string, value: Uint8Array): void {
    this.#liveBytes += sizeOf(key, value) - sizeOf(key, this.#values.get(key));
    this.#values.set(key, value);
    this.#changed.add(key);
  }

  delete(key: string): void {
    if (!this.#values.has(key)) return;
    this.#liveBytes -= sizeOf(key, this.#values.get(key));
    this.#values.delete(key);
    this.#changed.add(key);
  }

  /**
   * Writes what has changed. Afterwards it survives the death of this process, with `isDurable` a power cut too. Throws DiskError; what was not written is written by the next call.
   */
  async flush(options: { readonly isDurable?: boolean } = {}): Promise<void> {
    while (this.#flushing) await this.#flushing.catch(() => {}); // told to whoever began it
    this.#flushing = this.#flush();
    try {
      await this.#flushing;
    } finally {
      this.#flushing = undefined;
    }
    // What changes meanwhile is written without waiting for the disk.
    if (options.isDurable) await this.#segment.file.sync();
  }

  /** Writes what has changed, and closes. */
  async close(): Promise<void> {
    try {
      await this.flush({ isDurable: true });
    } finally {
      await this.#segment.file.close();
    }
  }

  async #load(): Promise<void> {
    for (let next = this.#segment.base; ; ) {
      const part = await this.#segment.read(next, Number.POSITIVE_INFINITY);
      for (const { payload } of part.records) this.#apply(payload);
      next = part.next;
      if (part.records.length > 0) continue;
      this.#end = next;
      this.#isTorn = this.#segment.size > part.endOffset;
      this.#segment.size = part.endOffset;
      return;
    }
  }

  #apply(payload: Uint8Array): void {
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    const isDeleted = bytes.readUInt8(0) === 1;
    const keyEnd = 3 + bytes.readUInt16BE(1);
    const key = bytes.toString("utf8", 3, keyEnd);
    if (isDeleted) this.delete(key);
    else this.set(key, Uint8Array.from(bytes.subarray(keyEnd)));
    this.#changed.delete(key);
  }

  async #flush(): Promise<void> {
    if (this.#segment.size > 2 * this.#liveBytes + this.#slackBytes) return await this.#writeAnew();
    const keys = [...this.#changed];
    try {
      if (keys.length > 0) await this.#append(keys);
    } catch (error) {
      for (const key of keys) this.#changed.add(key);
      throw error;
    }
  }

  async #append(keys: readonly string[]): Promise<void> {
    const { file, size } = this.#segment;
    if (this.#isTorn) await file.truncate(size);
    this.#isTorn = true;
    this.#changed.clear();
    const bytes = this.#frames(keys, this.#segment.salt, this.#end);
    await file.write(bytes, size);
    this.#isTorn = false;
    this.#segment.size += bytes.length;
    this.#end += keys.length;
  }

  /** A new file with nothing but what is alive takes the old one's place. */
  async #writeAnew(): Promise<void> {
    const generation = this.#generation + 1;
    const { name, salt } = newName(generation);
    const temporary = `${name}.new`;
    await this.#folder.remove(temporary);
    const file = await this.#folder.open(temporary, { isNew: true });
    const keys = this.keys();
    const changed = [...this.#changed];
    this.#changed.clear();
    try {
      const bytes = this.#frames(keys, salt, 1);
      await file.write(bytes, 0);
      await file.sync();
      await this.#folder.rename(temporary, name);
      await this.#folder.sync();
      const old = this.#segment;
      this.#segment = new Segment({ name, file, base: 1, salt, mostBytes });
      this.#segment.size = bytes.length;
      this.#end = 1 + keys.length;
      this.#generation = generation;
      this.#isTorn = false;
      await old.file.close();
      await this.#folder.remove(old.name);
    } catch (error) {
      for (const key of changed) this.#changed.add(key);
      if (this.#generation !== generation) {
        await file.close();
        for (const made of [temporary, name]) await this.#folder.remove(made).catch(() => {}); // the next opening does
      }
      throw error;
    }
  }

  #frames(keys: readonly string[], salt: number, first: number): Buffer {
    const payloads = keys.map((key) => entry(key, this.#values.get(key)));
    const bytes = Buffer.allocUnsafe(payloads.reduce((sum, payload) => sum + frameBytes(payload), 0));
    let offset = 0;
    for (const [place, payload] of payloads.entries()) {
      offset = writeFrame(bytes, offset, salt, { position: first + place, timeMs: 0, place, payload });
    }
    return bytes;
  }
}

function entry(key: string, value: Uint8Array | undefined): Buffer {
  const name = Buffer.from(key);
  const payload = Buffer.alloc(3 + name.length + (value?.length ?? 0));
  payload.writeUInt8(value === undefined ? 1 : 0, 0);
  payload.writeUInt16BE(name.length, 1);
  payload.set(name, 3);
  if (value) payload.set(value, 3 + name.length);
  return payload;
}

function sizeOf(key: string, value: Uint8Array | undefined): number {
  return value === undefined ? 0 : headerBytes + 3 + key.length + value.length;
}

function newName(generation: number): { readonly name: string; readonly salt: number } {
  const salt = randomInt(2 ** 32);
  return { name: `${String(generation).padStart(10, "0")}-${salt.toString(16).padStart(8, "0")}.state`, salt };
}

function parseName(
  name: string,
): { readonly name: string; readonly generation: number; readonly salt: number } | undefined {
  const [, generation, salt] = namePattern.exec(name) ?? [];
  if (generation === undefined || salt === undefined) return undefined;
  return { name, generation: Number(generation), salt: Number.parseInt(salt, 16) };
}
