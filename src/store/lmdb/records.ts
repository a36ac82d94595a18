/**
 * How entries and changes lie in LMDB's values. Every record begins with a CRC-32 over its content and its key, because LMDB itself would
 * hand out a damaged page without a word. Numbers are little-endian; revisions take six bytes.
 *
 *   entry: crc u32, modRevision u48, createRevision u48, value
 *   log:   crc u32, revision u48, changes u16, and per change: flags u8, key length u16, key,
 *          and if the key existed before: modRevision u48, createRevision u48, value length u32, value
 *   state: crc u32, revision u48, compactedRevision u48
 */
import { crc32 } from "node:zlib";
import type { StoreEntry } from "#store/store.ts";

/** One key's change in the log: what happened, and what stood there before. The value after it is in the next change, or current. */
export type Change = {
  readonly type: "put" | "delete";
  readonly key: string;
  readonly before: StoreEntry | undefined;
};

/** All changes of one revision. */
export type LogRecord = { readonly revision: number; readonly changes: readonly Change[] };

/** The store's counters. */
export type State = { readonly revision: number; readonly compactedRevision: number };

/** A record that is not as it was written. The caller knows its name. */
export class DamagedRecord extends Error {
  readonly kind = "DamagedRecord";
}

/** Gives memory for a record that is about to be written. */
export type Allocate = (bytes: number) => Buffer;

const TWO_32 = 0x1_0000_0000;
const ENTRY_HEADER = 16;
const LOG_HEADER = 12;
const CHANGE_HEADER = 3;
const BEFORE_HEADER = 16;
const STATE_BYTES = 16;
const FLAG_PUT = 1;
const FLAG_EXISTED = 2;

/** The bytes of an entry. */
export function encodeEntry(entry: StoreEntry, allocate: Allocate): Buffer {
  const { value, modRevision, createRevision } = entry;
  const record = allocate(ENTRY_HEADER + value.length);
  record.writeUInt32LE(entryChecksum(entry), 0);
  writeRevision(record, 4, modRevision);
  writeRevision(record, 10, createRevision);
  record.set(value, ENTRY_HEADER);
  return record;
}

/** The entry that `record` holds, with a value of its own. `record` is memory of LMDB that is used again. Throws {@link DamagedRecord}. */
export function decodeEntry(key: string, record: Uint8Array): StoreEntry {
  const length = record.length;
  if (length < ENTRY_HEADER) throw new DamagedRecord(`it has ${length} bytes`);
  const value = copyOf(record, ENTRY_HEADER, length);
  const entry = { key, value, createRevision: readRevision(record, 10), modRevision: readRevision(record, 4) };
  if (readU32(record, 0) !== entryChecksum(entry)) throw new DamagedRecord("its checksum is wrong");
  return entry;
}

/** The bytes of a revision's log record. */
export function encodeLog({ revision, changes }: LogRecord, allocate: Allocate): Buffer {
  const keyBytes = changes.map(({ key }) => Buffer.byteLength(key));
  const record = allocate(changes.reduce((sum, change, i) => sum + changeBytes(change, keyBytes[i]!), LOG_HEADER));
  writeRevision(record, 4, revision);
  record.writeUInt16LE(changes.length, 10);
  let at = LOG_HEADER;
  for (const [i, change] of changes.entries()) at = writeChange(record, at, change, keyBytes[i]!);
  record.writeUInt32LE(crc32(record.subarray(4)), 0);
  return record;
}

/** What a reader of the log gets of each change; `readBefore` must be called, if at all, before the next record is read. */
export type ChangeVisitor = (
  key: string,
  type: "put" | "delete",
  existed: boolean,
  readBefore: () => StoreEntry | undefined,
) => void;

/** Walks through the changes in a log record. Throws {@link DamagedRecord}. */
export function decodeLog(revision: number, record: Uint8Array, visit: ChangeVisitor): void {
  const length = record.length;
  if (length < LOG_HEADER) throw new DamagedRecord(`it has ${length} bytes`);
  const bytes = Buffer.from(record.buffer, record.byteOffset, length);
  if (readU32(bytes, 0) !== crc32(bytes.subarray(4))) throw new DamagedRecord("its checksum is wrong");
  if (readRevision(bytes, 4) !== revision) throw new DamagedRecord(`it is of revision ${readRevision(bytes, 4)}`);
  let at = LOG_HEADER;
  for (let left = bytes.readUInt16LE(10); left > 0; left--) {
    const flags = bytes[at]!;
    const keyEnd = at + CHANGE_HEADER + bytes.readUInt16LE(at + 1);
    const key = bytes.toString("utf8", at + CHANGE_HEADER, keyEnd);
    const existed = (flags & FLAG_EXISTED) !== 0;
    visit(key, flags & FLAG_PUT ? "put" : "delete", existed, () =>
      existed ? readBefore(key, bytes, keyEnd) : undefined,
    );
    at = existed ? keyEnd + BEFORE_HEADER + bytes.readUInt32LE(keyEnd + 12) : keyEnd;
  }
}

/** The bytes of the counters. */
export function encodeState(state: State, allocate: Allocate): Buffer {
  const record = allocate(STATE_BYTES);
  writeRevision(record, 4, state.revision);
  writeRevision(record, 10, state.compactedRevision);
  record.writeUInt32LE(crc32(record.subarray(4)), 0);
  return record;
}

/** The counters that `record` holds. Throws {@link DamagedRecord}. */
export function decodeState(record: Uint8Array): State {
  const bytes = copyOf(record, 0, record.length);
  if (bytes.length !== STATE_BYTES) throw new DamagedRecord(`it has ${bytes.length} bytes`);
  if (readU32(bytes, 0) !== crc32(bytes.subarray(4))) throw new DamagedRecord("its checksum is wrong");
  return { revision: readRevision(bytes, 4), compactedRevision: readRevision(bytes, 10) };
}

/** Over value and key, begun with a mix of the revisions: any change of one of them begins it differently. */
function entryChecksum({ key, value, modRevision, createRevision }: StoreEntry): number {
  const high = Math.floor(modRevision / TWO_32) ^ Math.imul(Math.floor(createRevision / TWO_32), 0x85eb);
  const start = (modRevision % TWO_32) + Math.imul(createRevision % TWO_32, 0x9e3779b1) + Math.imul(high, 0xc2b2ae35);
  return crc32(key, crc32(value, start >>> 0));
}

function changeBytes({ before }: Change, keyBytes: number): number {
  return CHANGE_HEADER + keyBytes + (before ? BEFORE_HEADER + before.value.length : 0);
}

function writeChange(record: Buffer, start: number, { type, key, before }: Change, keyBytes: number): number {
  record[start] = (type === "put" ? FLAG_PUT : 0) | (before ? FLAG_EXISTED : 0);
  record.writeUInt16LE(keyBytes, start + 1);
  record.write(key, start + CHANGE_HEADER, "utf8");
  const at = start + CHANGE_HEADER + keyBytes;
  if (!before) return at;
  writeRevision(record, at, before.modRevision);
  writeRevision(record, at + 6, before.createRevision);
  record.writeUInt32LE(before.value.length, at + 12);
  record.set(before.value, at + BEFORE_HEADER);
  return at + BEFORE_HEADER + before.value.length;
}

function readBefore(key: string, bytes: Buffer, at: number): StoreEntry {
  const valueStart = at + BEFORE_HEADER;
  const value = copyOf(bytes, valueStart, valueStart + bytes.readUInt32LE(at + 12));
  return { key, value, createRevision: readRevision(bytes, at + 6), modRevision: readRevision(bytes, at) };
}

/** A copy, because LMDB's memory is used again. Small ones share Node's pool: an ArrayBuffer for each would cost ten times the copying. */
// In memory of its own: a piece of Node's pool keeps 64 KB alive, with whatever else was in it.
function copyOf(bytes: Uint8Array, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}

function writeRevision(record: Buffer, at: number, revision: number): void {
  record.writeUInt32LE(revision % TWO_32, at);
  record.writeUInt16LE(Math.floor(revision / TWO_32), at + 4);
}

function readRevision(record: Uint8Array, at: number): number {
  return readU32(record, at) + (record[at + 4]! | (record[at + 5]! << 8)) * TWO_32;
}

function readU32(record: Uint8Array, at: number): number {
  return (record[at]! | (record[at + 1]! << 8) | (record[at + 2]! << 16) | (record[at + 3]! << 24)) >>> 0;
}
