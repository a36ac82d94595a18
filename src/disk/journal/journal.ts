/**
 * A durable, append-only sequence of records in a folder: what is acknowledged is on the disk, whatever dies afterwards. Those who append at the same time share a sync; reading is by position, from
 * the disk, so that memory does not grow with what is kept.
 */
import type { Clock } from "#component-base/clock.ts";
import { DiskError, type DiskFolder } from "#disk/disk-files.ts";
import { frameBytes, type JournalRecord, writeFrame } from "./record.ts";
import type { Damage, Segment } from "./segment.ts";
import { Segments } from "./segments.ts";

/** What a journal is opened with. */
export type JournalOptions = {
  readonly folder: DiskFolder;
  readonly clock: Clock;
  /** Bytes after which a new file is begun; old records go file by file. Default 16 MiB. */
  readonly segmentBytes?: number;
  /** Largest payload. Default 16 MiB. */
  readonly maxRecordBytes?: number;
  /** Told once of each piece of damage, when it is met. */
  readonly onDamage?: (damage: Damage) => void;
};

/** What is kept. */
export type Retention = { readonly maxAgeMs: number; readonly maxBytes: number };

/** What one read gave. */
export type JournalPart = {
  readonly records: readonly JournalRecord[];
  /** Where the next read begins: behind the records, and behind what can no longer be read. */
  readonly next: number;
};

/** The record is larger than may be. */
export class RecordTooLarge extends Error {
  readonly kind = "RecordTooLarge";
}

type Waiting = {
  readonly payload: Uint8Array;
  readonly resolve: (position: number) => void;
  readonly reject: (error: unknown) => void;
};

const mebibyte = 2 ** 20;
/** Bytes written at once. */
const batchBytes = 4 * mebibyte;
/** Bytes of the newest records that stay in memory, for those who follow. */
const recentBytes = mebibyte / 4;

/** An open journal. One process may have it open at a time. */
export class Journal {
  readonly #clock: Clock;
  readonly #segmentBytes: number;
  readonly #maxRecordBytes: number;
  readonly #onDamage: (damage: Damage) => void;
  readonly #reported = new Set<number>();
  readonly #listeners = new Set<() => void>();
  #segments: Segments;
  #waiting: Waiting[] = [];
  #committing: Promise<void> | undefined;
  #end: number;
  #lastTimeMs: number;
  #recent: { readonly records: JournalRecord[]; bytes: number } = { records: [], bytes: 0 };
  /** The active file holds more than what was acknowledged. */
  #isTorn = false;
  #isClosed = false;
  /** Bytes that were cut off the end when it was opened. */
  readonly cutBytes: number;

  private constructor(options: JournalOptions, opened: Awaited<ReturnType<typeof Segments.open>>) {
    this.#clock = options.clock;
    this.#segmentBytes = options.segmentBytes ?? 16 * mebibyte;
    this.#maxRecordBytes = options.maxRecordBytes ?? 16 * mebibyte;
    this.#onDamage = options.onDamage ?? (() => {});
    this.#segments = opened.segments;
    this.#end = opened.end;
    this.#lastTimeMs = opened.lastTimeMs;
    this.cutBytes = opened.cutBytes;
    this.#report(opened.damage);
  }

  /** Opens or begins the journal of a folder. A torn end is cut off; damage elsewhere is told of, and what is behind it stays readable. Throws {@link DiskError}. */
  static async open(options: JournalOptions): Promise<Journal> {
    return new Journal(options, await Segments.open(options.folder, options.maxRecordBytes ?? 16 * mebibyte));
  }

  /** Position of the oldest record that is kept; of the next one, when there is none. */
  get first(): number {
    return this.#segments.oldest.base;
  }

  /** Position that the next record will have. All before it is durable. */
  get end(): number {
    return this.#end;
  }

  get bytes(): number {
    return this.#segments.bytes;
  }

  /**
   * Resolves with the record's position when it is on the disk. Throws {@link DiskError}, and then the record is not there; a full disk is no reason to close: the next call tries again. Throws
   * {@link RecordTooLarge}. The payload must not be changed until then.
   */
  async append(payload: Uint8Array): Promise<number> {
    if (this.#isClosed) throw new Error("the journal is closed");
    if (payload.length > this.#maxRecordBytes) {
      throw new RecordTooLarge(`a record of ${payload.length} bytes: ${this.#maxRecordBytes} is the most`);
    }
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#waiting.push({ payload, resolve, reject });
    this.#committing ??= this.#commitAll();
    return await promise;
  }

  /** Calls the listener whenever there are more records. Gives what ends that. */
  onAppended(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Durable records from the position on, as many as one buffer holds; none when there are none yet. What retention took is passed over. Throws {@link DiskError}. */
  async read(from: number, options: { readonly maxBytes?: number } = {}): Promise<JournalPart> {
    let next = Math.max(from, this.first);
    while (next < this.#end) {
      const recent = this.#readRecent(next);
      if (recent) return recent;
      const { segment, before } = this.#segments.find(next);
      const part = await this.#readSegment(segment, next, Math.min(before, this.#end), options.maxBytes);
      next = Math.max(part.next, this.first);
      if (part.records.length > 0) return { records: part.records, next };
    }
    return { records: [], next };
  }

  /** Position of the first record that is not older than this; the end when all are. */
  async positionAt(timeMs: number): Promise<number> {
    let segment = this.#segments.oldest;
    for (let next = this.#segments.after(segment); next; next = this.#segments.after(next)) {
      const firstMs = await next.firstTimeMs();
      if (firstMs !== undefined && firstMs >= timeMs) break;
      segment = next;
    }
    for (let position = segment.base; ; ) {
      const { records, next } = await this.read(position);
      const found = records.find((record) => record.timeMs >= timeMs);
      if (found) return found.position;
      if (records.length === 0) return this.#end;
      position = next;
    }
  }

  /** Removes what is older or more than is to be kept, file by file: an eighth more of the age, and a file more of the bytes, may stay. Gives how many records went. */
  async retain({ maxAgeMs, maxBytes }: Retention): Promise<number> {
    const before = this.first;
    const oldestMs = this.#clock.now() - maxAgeMs;
    await this.#rollWhenOld(this.#clock.now() - maxAgeMs / 8);
    for (;;) {
      const { oldest, active } = this.#segments;
      if (oldest === active) break;
      // When the first record behind it is too old, all of its own are.
      const behindMs = await this.#segments.after(oldest)?.firstTimeMs();
      const isOld = (behindMs ?? this.#lastTimeMs) < oldestMs;
      if (!isOld && this.bytes <= maxBytes) break;
      await this.#segments.dropOldest();
    }
    return this.first - before;
  }

  /** Waits for what is being appended, then closes. May be called twice. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#committing;
    await this.#segments.close();
  }

  async #commitAll(): Promise<void> {
    // Those who append in this turn of the event loop go together.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#commit(this.#takeBatch());
    this.#committing = undefined;
  }

  #takeBatch(): Waiting[] {
    let [count, bytes] = [0, 0];
    for (const { payload } of this.#waiting) {
      bytes += frameBytes(payload);
      if (count > 0 && bytes > batchBytes) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    const first = this.#end;
    try {
      await this.#mend();
      if (this.#segments.active.size >= this.#segmentBytes) await this.#segments.add(this.#end);
      const segment = this.#segments.active;
      const timeMs = Math.max(this.#lastTimeMs, this.#clock.now());
      const { bytes, records } = frameBatch(batch, { first, timeMs, salt: segment.salt });
      this.#isTorn = true;
      await segment.file.write(bytes, segment.size);
      await segment.file.sync();
      this.#isTorn = false;
      segment.note(first, timeMs, segment.size);
      segment.size += bytes.length;
      this.#lastTimeMs = timeMs;
      this.#remember(records, bytes.length);
      this.#end = first + batch.length;
    } catch (error) {
      // So that a full disk has space again for others.
      await this.#mend().catch(() => {}); // tried again before the next batch
      for (const { reject } of batch) reject(error);
      return;
    }
    for (const [index, { resolve }] of batch.entries()) resolve(first + index);
    for (const listener of this.#listeners) listener();
  }

  /** Takes away what a failed batch has left. */
  async #mend(): Promise<void> {
    if (!this.#isTorn) return;
    const { active } = this.#segments;
    await active.file.truncate(active.size);
    this.#isTorn = false;
  }

  async #rollWhenOld(thanMs: number): Promise<void> {
    await this.#committing;
    const { active } = this.#segments;
    if (active.size === 0 || this.#isClosed) return;
    const firstMs = await active.firstTimeMs();
    // While nobody writes: a batch that begins meanwhile goes on in the file that it has chosen.
    if (firstMs === undefined || firstMs >= thanMs || this.#committing) return;
    this.#committing = this.#segments
      .add(this.#end)
      .catch(() => {}) // the next look tries again
      .then(() => this.#commitAll());
    await this.#committing;
  }

  #remember(records: readonly JournalRecord[], bytes: number): void {
    if (this.#recent.bytes + bytes > recentBytes) this.#recent = { records: [], bytes: 0 };
    if (bytes > recentBytes) return;
    this.#recent.records.push(...records);
    this.#recent.bytes += bytes;
  }

  #readRecent(from: number): JournalPart | undefined {
    const { records } = this.#recent;
    const first = records[0]?.position;
    if (first === undefined || from < first) return undefined;
    return { records: records.slice(from - first), next: this.#end };
  }

  async #readSegment(segment: Segment, from: number, before: number, maxBytes?: number): Promise<JournalPart> {
    try {
      const part = await segment.read(from, before, maxBytes);
      this.#report(part.damage);
      return part;
    } catch (error) {
      // Retention took it meanwhile: then the next look is at what is left.
      if (error instanceof DiskError && from < this.first) return { records: [], next: this.first };
      throw error;
    }
  }

  #report(damage: readonly Damage[]): void {
    for (const item of damage) {
      if (this.#reported.has(item.to)) continue;
      this.#reported.add(item.to);
      this.#onDamage(item);
    }
  }
}

function frameBatch(
  batch: readonly Waiting[],
  { first, timeMs, salt }: { readonly first: number; readonly timeMs: number; readonly salt: number },
): { readonly bytes: Buffer; readonly records: JournalRecord[] } {
  const size = batch.reduce((sum, { payload }) => sum + frameBytes(payload), 0);
  const bytes = Buffer.allocUnsafeSlow(size);
  const records: JournalRecord[] = [];
  let offset = 0;
  for (const [place, { payload }] of batch.entries()) {
    const position = first + place;
    offset = writeFrame(bytes, offset, salt, { position, timeMs, place, payload });
    records.push({ position, timeMs, payload: bytes.subarray(offset - payload.length, offset) });
  }
  return { bytes, records };
}
