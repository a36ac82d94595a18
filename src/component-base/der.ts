/**
 * ASN.1 in its distinguished encoding (X.690), as much of it as certificates need: a writer of functions that nest, and a reader of elements.
 * Ours instead of a library, because a library for it costs 90 ms at start.
 */

/** Tags of the universal types that certificates use. */
export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One element: a tag, a length, the content. */
export function der(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  return Buffer.concat([Buffer.from([tag]), lengthOf(body.length), body]);
}

export function derSequence(...items: readonly Uint8Array[]): Buffer {
  return der(derTag.sequence, ...items);
}

/** A set: its items sorted by their bytes, as the distinguished encoding wants it. */
export function derSet(...items: readonly Uint8Array[]): Buffer {
  return der(derTag.set, ...[...items].sort(Buffer.compare));
}

/** A context-specific, constructed element: `[number] EXPLICIT`. */
export function derContext(number: number, ...content: readonly Uint8Array[]): Buffer {
  return der(0xa0 | number, ...content);
}

/** A non-negative integer from its big-endian bytes. */
export function derInteger(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const trimmed = bytes.subarray(start);
  return der(derTag.integer, (trimmed[0] ?? 0) >= 0x80 ? Buffer.from([0]) : Buffer.alloc(0), trimmed);
}

/** An object identifier from its dotted form. */
export function derObjectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return der(derTag.objectIdentifier, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

/** A bit string whose last byte has `unusedBits` bits too many. */
export function derBitString(bytes: Uint8Array, unusedBits = 0): Buffer {
  return der(derTag.bitString, Buffer.from([unusedBits]), bytes);
}

export function derOctetString(bytes: Uint8Array): Buffer {
  return der(derTag.octetString, bytes);
}

export function derUtf8(text: string): Buffer {
  return der(derTag.utf8String, Buffer.from(text, "utf8"));
}

export function derBoolean(value: boolean): Buffer {
  return der(derTag.boolean, Buffer.from([value ? 0xff : 0]));
}

/** A time with whole seconds: UTCTime until 2049, GeneralizedTime from then on (RFC 5280, 4.1.2.5). */
export function derTime(ms: number): Buffer {
  const digits = new Date(ms)
    .toISOString()
    .replace(/\.\d+Z$/, "Z")
    .replace(/[-:T]/g, "");
  if (new Date(ms).getUTCFullYear() >= 2050) return der(derTag.generalizedTime, Buffer.from(digits));
  return der(derTag.utcTime, Buffer.from(digits.slice(2)));
}

/** An element that was read. `raw` is all of it, `content` what stands after tag and length. */
export type DerElement = { readonly tag: number; readonly raw: Buffer; readonly content: Buffer };

/** The input is not in the distinguished encoding. */
export class DerError extends Error {
  readonly kind = "DerError";
}

/** Reads one element from the start of `bytes`. Throws {@link DerError}. */
export function readDer(bytes: Uint8Array): DerElement {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tag = buffer[0];
  const short = buffer[1];
  if (tag === undefined || short === undefined) throw new DerError("element ends too early");
  const lengthBytes = short < 0x80 ? 0 : short & 0x7f;
  if (short === 0x80 || lengthBytes > 4 || buffer.length < 2 + lengthBytes) throw new DerError("length is not valid");
  const length = lengthBytes === 0 ? short : buffer.readUIntBE(2, lengthBytes);
  const start = 2 + lengthBytes;
  if (buffer.length < start + length) throw new DerError("element ends too early");
  return { tag, raw: buffer.subarray(0, start + length), content: buffer.subarray(start, start + length) };
}

/** Reads all elements that stand one after the other in `bytes`. Throws {@link DerError}. */
export function readDerAll(bytes: Uint8Array): readonly DerElement[] {
  const elements: DerElement[] = [];
  for (let rest: Uint8Array = bytes; rest.length > 0; ) {
    const element = readDer(rest);
    elements.push(element);
    rest = rest.subarray(element.raw.length);
  }
  return elements;
}

/** The dotted form of an object identifier's content. */
export function readObjectIdentifier(content: Uint8Array): string {
  const first = content[0] ?? 0;
  const arcs = [Math.min(2, Math.floor(first / 40)), first - 40 * Math.min(2, Math.floor(first / 40))];
  let value = 0;
  for (const byte of content.subarray(1)) {
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      arcs.push(value);
      value = 0;
    }
  }
  return arcs.join(".");
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.from([0x80 | bytes.length, ...bytes]);
}

function base128(value: number): number[] {
  const bytes = [value % 128];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) bytes.unshift(0x80 | (rest % 128));
  return bytes;
}
