/**
 * One file of a journal. Reads records from any position on through a small buffer, with a sparse index that grows as it is read, and finds what is readable behind what is damaged.
 */
import type { DiskFile } from "#disk/disk-files.ts";
import { type FramedRecord, headerBytes, positionIn, readFrame } from "./record.ts";

/** Records that cannot be read any more. */
export type Damage = {
  /** First and last position. */
  readonly from: number;
  readonly to: number;
  /** False when a record behind them was synced together with them: then they may never have been acknowledged. */
  readonly wereSynced: boolean;
};

/** What one look into a segment gave. Either may be empty. */
export type SegmentPart = {
  readonly records: readonly FramedRecord[];
  readonly damage: readonly Damage[];
  /** Where the next look begins. */
  readonly next: number;
  /** Bytes from the segment's beginning up to there. */
  readonly endOffset: number;
};

/** What a segment is made with. */
export type SegmentOptions = {
  readonly name: string;
  readonly file: DiskFile;
  /** Position of its first record. */
  readonly base: number;
  readonly salt: number;
  /** Largest payload. */
  readonly mostBytes: number;
};

type Entry = { readonly position: number; readonly offset: number; readonly timeMs: number };

/** Bytes read at a time. */
const chunkBytes = 64 * 1024;
/** Bytes between two entries of the index. */
const indexStepBytes = 32 * 1024;

/** A file of records. */
export class Segment {
  readonly name: string;
  readonly base: number;
  readonly salt: number;
  readonly file: DiskFile;
  readonly #mostBytes: number;
  readonly #index: Entry[] = [];
  /** Bytes of whole records. */
  size = 0;

  constructor({ name, file, base, salt, mostBytes }: SegmentOptions) {
    this.name = name;
    this.file = file;
    this.base = base;
    this.salt = salt;
    this.#mostBytes = mostBytes;
  }

  /** Time of the first record, or undefined while there is none that can be read. */
  async firstTimeMs(): Promise<number | undefined> {
    if (this.#index[0]?.position === this.base) return this.#index[0].timeMs;
    return (await this.read(this.base, Number.POSITIVE_INFINITY, 1)).records[0]?.timeMs;
  }

  /** Says where a record is that was just written. */
  note(position: number, timeMs: number, offset: number): void {
    const last = this.#index.at(-1);
    if (last && (position <= last.position || offset < last.offset + indexStepBytes)) return;
    this.#index.push({ position, timeMs, offset });
  }

  /**
   * Records from `from` on, which lies in this segment, up to but without `before`: as many as one buffer holds, at least one if there is one. `before` is infinite while nobody knows where the
   * segment ends: then what is damaged at its end is no damage, but its end.
   */
  async read(from: number, before: number, mostBytes: number = Number.POSITIVE_INFINITY): Promise<SegmentPart> {
    const window = new Window(this.file, this.size);
    const records: FramedRecord[] = [];
    const damage: Damage[] = [];
    let { position: next, offset } = this.#nearest(from);
    let bytes = 0;
    while (next < before && bytes < mostBytes) {
      const found = readFrame(window.buffer, offset - window.offset, this.salt, this.#mostBytes);
      if (found.kind === "short" && offset + found.needsBytes <= this.size) {
        if (records.length > 0) break;
        await window.load(offset, Math.max(found.needsBytes, chunkBytes));
        continue;
      }
      if (found.kind === "record" && found.record.position === next) {
        this.note(next, found.record.timeMs, offset);
        if (next >= from) {
          records.push(found.record);
          bytes += found.record.payload.length;
        }
        next++;
        offset = window.offset + found.end;
        continue;
      }
      const after = await this.#findNext(offset, next, before);
      if (!after && before === Number.POSITIVE_INFINITY) break;
      const to = (after?.position ?? before) - 1;
      const wereSynced = after === undefined || after.position - after.place > next;
      if (to >= from) damage.push({ from: Math.max(from, next), to, wereSynced });
      next = to + 1;
      offset = after?.offset ?? this.size;
    }
    return { records, damage, next: Math.max(next, from), endOffset: offset };
  }

  /** Where to begin for a position: the last known place that is not behind it. */
  #nearest(position: number): { readonly position: number; readonly offset: number } {
    const entry = lastNotAbove(this.#index, position, (it) => it.position);
    return entry ?? { position: this.base, offset: 0 };
  }

  /** The next record that can be read behind something damaged, byte by byte: nobody knows how long that was. */
  async #findNext(
    damagedOffset: number,
    damagedPosition: number,
    before: number,
  ): Promise<{ readonly position: number; readonly place: number; readonly offset: number } | undefined> {
    const room = Math.floor((this.size - damagedOffset) / headerBytes);
    const limit = Math.min(before, damagedPosition + room + 1);
    const window = new Window(this.file, this.size);
    for (let offset = damagedOffset; offset + headerBytes <= this.size; offset++) {
      if (offset + headerBytes > window.end) await window.load(offset, 4 * chunkBytes);
      const position = positionIn(window.buffer, offset - window.offset);
      if (position < damagedPosition || position >= limit) continue;
      let found = readFrame(window.buffer, offset - window.offset, this.salt, this.#mostBytes);
      if (found.kind === "short" && offset + found.needsBytes <= this.size) {
        await window.load(offset, Math.max(found.needsBytes, 4 * chunkBytes));
        found = readFrame(window.buffer, offset - window.offset, this.salt, this.#mostBytes);
      }
      if (found.kind === "record") return { position, place: found.record.place, offset };
    }
    return undefined;
  }
}

/** The part of a file that is in memory. */
class Window {
  readonly #file: DiskFile;
  readonly #size: number;
  buffer: Buffer = Buffer.alloc(0);
  offset = 0;

  constructor(file: DiskFile, size: number) {
    this.#file = file;
    this.#size = size;
  }

  get end(): number {
    return this.offset + this.buffer.length;
  }

  async load(offset: number, bytes: number): Promise<void> {
    // A buffer of its own each time: records that were given out share the one before.
    const buffer = Buffer.allocUnsafeSlow(Math.min(bytes, this.#size - offset));
    // What somebody cut off reads as damage.
    buffer.fill(0, await this.#file.read(buffer, offset));
    this.buffer = buffer;
    this.offset = offset;
  }
}

/** The last element whose value is not above the bound, in a list that is ordered by it. */
export function lastNotAbove<T>(list: readonly T[], bound: number, valueOf: (item: T) => number): T | undefined {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (valueOf(list[middle] as T) <= bound) low = middle + 1;
    else high = middle;
  }
  return list[low - 1];
}
