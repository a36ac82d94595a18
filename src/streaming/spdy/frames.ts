/**
 * SPDY/3.1 frames: bytes to data and back. Only the frames that Kubernetes' streams use; others are given as "ignored".
 */

/** A frame as it was read. `headerBlock` is still compressed. */
export type Frame =
  | { readonly type: "synStream"; readonly streamId: number; readonly isLast: boolean; readonly headerBlock: Buffer }
  | { readonly type: "synReply"; readonly streamId: number; readonly isLast: boolean; readonly headerBlock: Buffer }
  | { readonly type: "headers"; readonly streamId: number; readonly isLast: boolean; readonly headerBlock: Buffer }
  | { readonly type: "data"; readonly streamId: number; readonly isLast: boolean; readonly data: Buffer }
  | { readonly type: "rstStream"; readonly streamId: number; readonly status: number }
  | { readonly type: "ping"; readonly id: number }
  | { readonly type: "goAway" }
  | { readonly type: "ignored" };

const version = 3;
const controlBit = 0x80_00;
const lastFlag = 1;
const headBytes = 8;
/** Larger frames than any client sends; a peer that announces one is not speaking SPDY. */
const maxFrameBytes = 1 << 20;
/** Longest data in one frame that we send: any peer takes it. */
export const maxDataBytes: number = 1 << 15;

const types = { synStream: 1, synReply: 2, rstStream: 3, ping: 6, goAway: 7, headers: 8 } as const;

/** The peer does not speak SPDY/3.1. */
export class SpdyProtocolError extends Error {
  readonly kind = "SpdyProtocolError";
}

/** Cuts bytes into frames as they come. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** Takes a chunk and gives the frames that are complete. Throws {@link SpdyProtocolError}. */
  push(chunk: Uint8Array): Frame[] {
    this.#rest = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    const frames: Frame[] = [];
    while (this.#rest.length >= headBytes) {
      const length = this.#rest.readUIntBE(5, 3);
      if (length > maxFrameBytes) throw new SpdyProtocolError(`a frame of ${length} bytes is too large`);
      if (this.#rest.length < headBytes + length) break;
      frames.push(parse(this.#rest.subarray(0, headBytes), this.#rest.subarray(headBytes, headBytes + length)));
      this.#rest = this.#rest.subarray(headBytes + length);
    }
    return frames;
  }
}

function parse(head: Buffer, body: Buffer): Frame {
  const isLast = ((head[4] ?? 0) & lastFlag) !== 0;
  const first = head.readUInt16BE(0);
  if ((first & controlBit) === 0) return { type: "data", streamId: head.readUInt32BE(0), isLast, data: body };
  if ((first & ~controlBit) !== version) throw new SpdyProtocolError(`SPDY version ${first & ~controlBit} is not 3`);
  const type = head.readUInt16BE(2);
  const needs = { 1: 10, 2: 4, 3: 8, 6: 4, 8: 4 }[type] ?? 0;
  if (body.length < needs) throw new SpdyProtocolError(`a control frame of type ${type} is too short`);
  const streamId = body.length >= 4 ? body.readUInt32BE(0) & 0x7f_ff_ff_ff : 0;
  if (type === types.synStream) return { type: "synStream", streamId, isLast, headerBlock: body.subarray(10) };
  if (type === types.synReply) return { type: "synReply", streamId, isLast, headerBlock: body.subarray(4) };
  if (type === types.headers) return { type: "headers", streamId, isLast, headerBlock: body.subarray(4) };
  if (type === types.rstStream) return { type: "rstStream", streamId, status: body.readUInt32BE(4) };
  if (type === types.ping) return { type: "ping", id: body.readUInt32BE(0) };
  if (type === types.goAway) return { type: "goAway" };
  return { type: "ignored" };
}

/** A frame that opens a stream; `headerBlock` is compressed. */
export function synStreamFrame(streamId: number, headerBlock: Uint8Array): Buffer {
  const head = Buffer.alloc(10);
  head.writeUInt32BE(streamId, 0);
  return control(types.synStream, 0, head, headerBlock);
}

/** A frame that accepts a stream. */
export function synReplyFrame(streamId: number, headerBlock: Uint8Array): Buffer {
  return control(types.synReply, 0, uint32(streamId), headerBlock);
}

/** A frame that breaks a stream off. Status 5 is "cancel", 3 "refused". */
export function rstStreamFrame(streamId: number, status: number): Buffer {
  return control(types.rstStream, 0, uint32(streamId), uint32(status));
}

/** The answer to a ping. */
export function pingFrame(id: number): Buffer {
  return control(types.ping, 0, uint32(id));
}

/** A frame that ends the connection in good order. */
export function goAwayFrame(lastStreamId: number): Buffer {
  return control(types.goAway, 0, uint32(lastStreamId), uint32(0));
}

/** A piece of a stream; with `isLast` this side sends no more. */
export function dataFrame(streamId: number, data: Uint8Array, isLast: boolean): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt32BE(streamId, 0);
  head[4] = isLast ? lastFlag : 0;
  head.writeUIntBE(data.length, 5, 3);
  return Buffer.concat([head, data]);
}

function control(type: number, flags: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const head = Buffer.alloc(headBytes);
  head.writeUInt16BE(controlBit | version, 0);
  head.writeUInt16BE(type, 2);
  head[4] = flags;
  head.writeUIntBE(body.length, 5, 3);
  return Buffer.concat([head, body]);
}

function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value);
  return buffer;
}
