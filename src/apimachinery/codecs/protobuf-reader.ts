/**
 * Reads protobuf's wire format with every bound checked: bytes come from clients.
 */
import { badRequest } from "#apimachinery/status-error.ts";

/** Deepest nesting of messages that is read. Upstream's deepest type has 15 levels; only CustomResourceDefinitions' schemas recurse. */
const maxDepth = 500;

/** A cursor over bytes. `position` moves on with each read; messages are read by moving `end` in and out again. */
export class ProtobufReader {
  readonly #bytes: Buffer;
  position = 0;
  end: number;
  #depth = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.end = bytes.length;
  }

  get hasMore(): boolean {
    return this.position < this.end;
  }

  /** A field's tag: number << 3 | wire type. */
  tag(): number {
    const tag = this.unsigned();
    if (tag < 8) throw malformed(`illegal tag ${tag}`);
    return tag;
  }

  /** An unsigned varint below 2^53. */
  unsigned(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    let value = first & 0x7f;
    let factor = 0x80;
    for (let count = 1; count < 8; count++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 0x80;
    }
    throw malformed("number too large");
  }

  /** A varint as int32. */
  int32(): number {
    return this.int64() | 0;
  }

  /** A varint as int64. Beyond 2^53 precision is lost, as everywhere in JSON. */
  int64(): number {
    const start = this.position;
    let value = 0;
    let factor = 1;
    for (let count = 0; count < 10; count++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return count < 7 ? value : this.#bigInt64(start);
      factor *= 0x80;
    }
    throw malformed("integer overflow");
  }

  boolean(): boolean {
    return this.int64() !== 0;
  }

  double(): number {
    const at = this.#skip(8);
    return this.#bytes.readDoubleLE(at);
  }

  string(): string {
    const length = this.#length();
    const at = this.#skip(length);
    return this.#bytes.toString("utf8", at, at + length);
  }

  /** A view on the bytes, not a copy. */
  bytes(): Buffer {
    const length = this.#length();
    const at = this.#skip(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** Enters a message: gives the end to restore with {@link leave}. */
  enter(): number {
    const outerEnd = this.end;
    const length = this.#length();
    if (this.position + length > outerEnd) throw malformed("unexpected EOF");
    if (++this.#depth > maxDepth) throw malformed("nested too deeply");
    this.end = this.position + length;
    return outerEnd;
  }

  leave(outerEnd: number): void {
    this.#depth--;
    this.position = this.end;
    this.end = outerEnd;
  }

  /** Skips a field that nobody knows. */
  skipField(wireType: number): void {
    if (wireType === 0) this.int64();
    else if (wireType === 1) this.#skip(8);
    else if (wireType === 2) this.#skip(this.#length());
    else if (wireType === 5) this.#skip(4);
    else throw malformed(`illegal wire type ${wireType}`);
  }

  #length(): number {
    return this.unsigned();
  }

  #skip(size: number): number {
    const at = this.position;
    if (at + size > this.end) throw malformed("unexpected EOF");
    this.position = at + size;
    return at;
  }

  #byte(): number {
    if (this.position >= this.end) throw malformed("unexpected EOF");
    return this.#bytes[this.position++] ?? 0;
  }

  #bigInt64(start: number): number {
    let value = 0n;
    let shift = 0n;
    for (let at = start; at < this.position; at++) {
      value |= BigInt((this.#bytes[at] ?? 0) & 0x7f) << shift;
      shift += 7n;
    }
    return Number(BigInt.asIntN(64, value));
  }
}

/** 400 for bytes that are not the protobuf that they should be. */
export function malformed(why: string): Error {
  return badRequest(`proto: ${why}`);
}
