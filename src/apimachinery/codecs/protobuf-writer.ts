/**
 * Writes protobuf from the end to the front, as upstream's generated code does: a message's length is known when its tag is written, so nothing is measured twice.
 * Callers write a field's value first and its tag after it, the last field first.
 */

/** Most bytes that a writer keeps between messages. */
const largestKept = 64 * 1024;

/** A buffer that grows to the front. */
export class ProtobufWriter {
  #buffer: Buffer;
  #start: number;

  constructor(initialBytes = 4096) {
    this.#buffer = Buffer.allocUnsafe(initialBytes);
    this.#start = initialBytes;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#buffer.length - this.#start;
  }

  /** A copy of what was written; the writer is empty afterwards and can be used again. What a rare large message needed is given back. */
  take(): Buffer {
    // Many times quicker than Buffer.from.
    const bytes = Buffer.allocUnsafe(this.length);
    this.#buffer.copy(bytes, 0, this.#start);
    if (this.#buffer.length > largestKept) this.#buffer = Buffer.allocUnsafe(largestKept);
    this.#start = this.#buffer.length;
    return bytes;
  }

  byte(value: number): void {
    if (this.#start === 0) this.#grow(1);
    this.#buffer[--this.#start] = value;
  }

  /** An unsigned number below 2^32. */
  varint(value: number): void {
    if (value < 0x80) {
      this.byte(value);
      return;
    }
    const size = value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5;
    let at = this.#reserve(size);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[at++] = (rest & 0x7f) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#buffer[at] = rest;
  }

  /** A signed whole number as int32 and int64 are written: negative ones take ten bytes. */
  int(value: number): void {
    if (value >= 0 && value <= 0xffffffff) this.varint(value);
    else this.#bigVarint(BigInt.asUintN(64, BigInt(Math.trunc(value))));
  }

  double(value: number): void {
    const at = this.#reserve(8);
    this.#buffer.writeDoubleLE(value, at);
  }

  /** Length and UTF-8 bytes. */
  string(value: string): void {
    const length = value.length;
    if (length < 48 && this.#ascii(value, length)) {
      this.varint(length);
      return;
    }
    const size = Buffer.byteLength(value);
    const at = this.#reserve(size);
    this.#buffer.write(value, at, size, "utf8");
    this.varint(size);
  }

  /** Length and bytes. */
  bytes(value: Uint8Array): void {
    this.raw(value);
    this.varint(value.length);
  }

  /** Bytes as they are, without a length. */
  raw(value: Uint8Array): void {
    const at = this.#reserve(value.length); // first of all: it may put another buffer in place
    this.#buffer.set(value, at);
  }

  #ascii(value: string, length: number): boolean {
    const at = this.#reserve(length);
    const buffer = this.#buffer;
    for (let index = 0; index < length; index++) {
      const code = value.charCodeAt(index);
      if (code >= 0x80) {
        this.#start = at + length;
        return false;
      }
      buffer[at + index] = code;
    }
    return true;
  }

  #bigVarint(value: bigint): void {
    const bytes: number[] = [];
    let rest = value;
    while (rest >= 0x80n) {
      bytes.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    bytes.push(Number(rest));
    this.raw(Uint8Array.from(bytes));
  }

  #reserve(size: number): number {
    if (this.#start < size) this.#grow(size);
    this.#start -= size;
    return this.#start;
  }

  #grow(needed: number): void {
    const used = this.length;
    const bigger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, used + needed + 1024));
    this.#buffer.copy(bigger, bigger.length - used, this.#start);
    this.#start = bigger.length - used;
    this.#buffer = bigger;
  }
}
