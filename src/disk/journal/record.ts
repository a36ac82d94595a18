/**
 * How a record lies in a file: checksum, length, position, time, place in its batch, then the payload. The checksum covers all that follows it and begins with a number that only this file's
 * name tells: bytes left over from another file, or a record that somebody packed into a payload, are no records here.
 */
import { crc32 } from "node:zlib";

/** What was appended, and where it is. */
export type JournalRecord = {
  /** Counts records, from 1. */
  readonly position: number;
  /** When it was appended, in ms since 1970. Never less than that of the record before it. */
  readonly timeMs: number;
  /** Shares memory with its neighbours: copy it to keep it for long. */
  readonly payload: Uint8Array;
};

/** A record as it is written. */
export type FramedRecord = JournalRecord & {
  /** Which of those that were synced together it is, from 0: all of earlier batches was on the disk before this one was written. */
  readonly place: number;
};

/** Bytes before each payload. */
export const headerBytes = 24;
const at = { crc: 0, length: 4, position: 8, time: 14, place: 20 };

/** Bytes that the record takes. */
export function frameBytes(payload: Uint8Array): number {
  return headerBytes + payload.length;
}

/** Writes the record into `buffer`, and gives where it ends there. */
export function writeFrame(buffer: Buffer, offset: number, salt: number, record: FramedRecord): number {
  const end = offset + frameBytes(record.payload);
  buffer.writeUInt32BE(record.payload.length, offset + at.length);
  buffer.writeUIntBE(record.position, offset + at.position, 6);
  buffer.writeUIntBE(record.timeMs, offset + at.time, 6);
  buffer.writeUInt32BE(record.place, offset + at.place);
  buffer.set(record.payload, offset + headerBytes);
  buffer.writeUInt32BE(crc32(buffer.subarray(offset + at.length, end), salt), offset + at.crc);
  return end;
}

/** What is found at an offset: a record, the beginning of something that needs this many bytes, or nothing that was ever written. */
export type Found =
  | { readonly kind: "record"; readonly record: FramedRecord; readonly end: number }
  | { readonly kind: "short"; readonly needsBytes: number }
  | { readonly kind: "damaged" };

const damaged: Found = { kind: "damaged" };

/** Reads the record that begins at `offset`; what is longer than `mostBytes` was never written. */
export function readFrame(buffer: Buffer, offset: number, salt: number, mostBytes: number): Found {
  if (buffer.length - offset < headerBytes) return { kind: "short", needsBytes: headerBytes };
  const length = buffer.readUInt32BE(offset + at.length);
  if (length > mostBytes) return damaged;
  const end = offset + headerBytes + length;
  if (end > buffer.length) return { kind: "short", needsBytes: headerBytes + length };
  if (crc32(buffer.subarray(offset + at.length, end), salt) !== buffer.readUInt32BE(offset + at.crc)) return damaged;
  const record = {
    position: positionIn(buffer, offset),
    timeMs: buffer.readUIntBE(offset + at.time, 6),
    place: buffer.readUInt32BE(offset + at.place),
    payload: buffer.subarray(offset + headerBytes, end),
  };
  return { kind: "record", record, end };
}

/** The position that a header at this offset would have: cheap to look at, and almost always absurd where none is. */
export function positionIn(buffer: Buffer, offset: number): number {
  return buffer.readUIntBE(offset + at.position, 6);
}
