/**
 * The files of a journal, oldest first. Their names hold what no damage to their content may take away: the position of the first record, and the number that its checksums begin with.
 */
import { randomInt } from "node:crypto";
import type { DiskFolder } from "#disk/disk-files.ts";
import { type Damage, lastNotAbove, Segment } from "./segment.ts";

/** What opening found at the end of the journal. */
export type OpenedSegments = {
  readonly segments: Segments;
  /** Position of the next record. */
  readonly end: number;
  readonly lastTimeMs: number;
  /** Bytes that were cut off the end: a batch that never was acknowledged. */
  readonly cutBytes: number;
  readonly damage: readonly Damage[];
};

const namePattern = /^(\d{16})-([0-9a-f]{8})\.journal$/;

/** The files. There is always one. */
export class Segments {
  readonly #folder: DiskFolder;
  readonly #mostBytes: number;
  readonly #list: Segment[] = [];

  private constructor(folder: DiskFolder, mostBytes: number) {
    this.#folder = folder;
    this.#mostBytes = mostBytes;
  }

  /** Opens what is there, or begins; cuts off a torn end. `mostBytes`: the largest payload. */
  static async open(folder: DiskFolder, mostBytes: number): Promise<OpenedSegments> {
    const segments = new Segments(folder, mostBytes);
    const files = (await folder.list()).flatMap((name) => parseName(name) ?? []).sort((a, b) => a.base - b.base);
    for (const { name, base, salt } of files) {
      const file = await folder.open(name);
      const segment = new Segment({ name, file, base, salt, mostBytes });
      segment.size = await file.size();
      segments.#list.push(segment);
    }
    if (files.length === 0) await segments.add(1);
    return { segments, ...(await openLast(segments.active)) };
  }

  get active(): Segment {
    return this.#list.at(-1) as Segment;
  }

  get oldest(): Segment {
    return this.#list[0] as Segment;
  }

  get bytes(): number {
    return this.#list.reduce((sum, { size }) => sum + size, 0);
  }

  /** The segment that holds the position, and the first position behind it as far as another segment says. */
  find(position: number): { readonly segment: Segment; readonly before: number } {
    const segment = lastNotAbove(this.#list, position, ({ base }) => base) ?? this.oldest;
    return { segment, before: this.after(segment)?.base ?? Number.POSITIVE_INFINITY };
  }

  after(segment: Segment): Segment | undefined {
    return this.#list[this.#list.indexOf(segment) + 1];
  }

  /** Begins a new one, with this first position. */
  async add(base: number): Promise<void> {
    const salt = randomInt(2 ** 32);
    const name = `${String(base).padStart(16, "0")}-${salt.toString(16).padStart(8, "0")}.journal`;
    const file = await this.#folder.open(name, { isNew: true });
    try {
      await this.#folder.sync();
    } catch (error) {
      await file.close();
      await this.#folder.remove(name).catch(() => {}); // an empty file does no harm
      throw error;
    }
    this.#list.push(new Segment({ name, file, base, salt, mostBytes: this.#mostBytes }));
  }

  /** Removes the oldest. Gives false when it is the only one. */
  async dropOldest(): Promise<boolean> {
    if (this.#list.length < 2) return false;
    const { name, file } = this.oldest;
    await this.#folder.remove(name);
    this.#list.shift();
    await file.close();
    return true;
  }

  async close(): Promise<void> {
    for (const { file } of this.#list) await file.close();
  }
}

function parseName(name: string): { readonly name: string; readonly base: number; readonly salt: number } | undefined {
  const [, base, salt] = namePattern.exec(name) ?? [];
  if (base === undefined || salt === undefined) return undefined;
  return { name, base: Number(base), salt: Number.parseInt(salt, 16) };
}

async function openLast(segment: Segment): Promise<Omit<OpenedSegments, "segments">> {
  const damage: Damage[] = [];
  let end = segment.base;
  let lastTimeMs = 0;
  let endOffset = 0;
  for (;;) {
    const part = await segment.read(end, Number.POSITIVE_INFINITY);
    damage.push(...part.damage);
    lastTimeMs = part.records.at(-1)?.timeMs ?? lastTimeMs;
    ({ next: end, endOffset } = part);
    if (part.records.length === 0) break;
  }
  const cutBytes = segment.size - endOffset;
  if (cutBytes > 0) {
    await segment.file.truncate(endOffset);
    await segment.file.sync();
    segment.size = endOffset;
  }
  return { end, lastTimeMs, cutBytes, damage };
}
