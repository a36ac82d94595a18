/**
 * Reads objects of one kind, one after another, without the fields that nobody will look at. Pods of one template differ in a few places: what stands in an object as it stood in the one before is not looked at again.
 * A complete JSON object, array or string is never the beginning of another, so that the same bytes are the same value.
 */
import { type Span, standsAt } from "#apimachinery/codecs/same-bytes.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { LeanObject } from "./lean-object.ts";

/** A field of the object itself, and what it was read as. */
type Field = Span & { readonly name: string; readonly of: Buffer; readonly value: unknown };

/** Larger objects are read each for itself. */
const MAX_BYTES = 64 * 1024;
const NULL = Buffer.from("null");
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;

/** A reader for one list; its objects share what they have in common, so nobody may change them. */
export class PartialReader {
  readonly #unread: Names;
  #text = Buffer.allocUnsafe(4096);
  #before: Buffer = Buffer.alloc(0);
  /** Where the unread values of the object before stood, in their order. */
  #skipped: readonly Span[] = [];
  #fields: ReadonlyMap<string, Field> = new Map();

  /** `unread`: names of fields, wherever they stand. */
  constructor(unread: readonly string[]) {
    this.#unread = new Names(unread);
  }

  /** The object that `bytes` hold, as JSON.stringify wrote it, with null for each unread field. `metadataAt` is where the inside of its metadata begins. */
  read(bytes: Buffer, metadataAt: number): LeanObject {
    const pass = new Pass(bytes, metadataAt);
    if (this.#text.length < bytes.length * 2) this.#text = Buffer.allocUnsafe(bytes.length * 2);
    const length = this.#copy(pass);
    const object = JSON.parse(this.#text.toString("utf8", 0, length)) as Record<string, unknown>;
    const fields = new Map<string, Field>();
    for (const field of pass.repeated) {
      object[field.name] = field.value;
      fields.set(field.name, field);
    }
    for (const { name, start, end } of pass.fields)
      fields.set(name, { name, start, end, of: bytes, value: object[name] });
    this.#remember(bytes, pass.skipped, fields);
    return { object: object as KubeObject, metadataEnd: pass.metadataEnd };
  }

  #remember(bytes: Buffer, skipped: readonly Span[], fields: ReadonlyMap<string, Field>): void {
    const isSmall = bytes.length <= MAX_BYTES;
    this.#before = bytes;
    this.#skipped = isSmall ? skipped : [];
    this.#fields = isSmall ? fields : new Map();
  }

  /** Copies the text without what is not read and what is known; gives its length. */
  #copy(pass: Pass): number {
    const { bytes } = pass;
    const text = this.#text;
    let end = bytes.copy(text, 0, 0, pass.at);
    for (; pass.at < bytes.length; pass.at++) {
      const byte = bytes[pass.at] as number;
      text[end++] = byte;
      if (byte !== QUOTE) {
        pass.pass(byte);
        continue;
      }
      const start = pass.at + 1;
      const close = endOfString(bytes, start);
      for (let at = start; at <= close; at++) text[end++] = bytes[at] as number;
      pass.at = close;
      if (bytes[close + 1] !== COLON) continue;
      const valueEnd = this.#endOfUnread(pass, start, close) ?? this.#endOfRepeated(pass, start, close);
      if (valueEnd === undefined) continue;
      text[end++] = COLON;
      end += NULL.copy(text, end);
      pass.at = valueEnd - 1;
    }
    return end;
  }

  /** Behind the value of the key from `start` to `close`, when it is one that is not read. */
  #endOfUnread(pass: Pass, start: number, close: number): number | undefined {
    const { bytes, skipped } = pass;
    if (!this.#unread.has(bytes, start, close)) return undefined;
    const from = close + 2;
    const before = this.#skipped[skipped.length];
    const isKnown = before !== undefined && isClosed(bytes[from]) && standsAt(this.#before, before, bytes, from);
    const end = isKnown ? from + before.end - before.start : endOfValue(bytes, from);
    skipped.push({ start: from, end });
    return end;
  }

  /** Behind the value of this key of the object itself, when the object before had the same. */
  #endOfRepeated(pass: Pass, start: number, close: number): number | undefined {
    if (pass.depth !== 0 || pass.metadataEnd === 0) return undefined;
    const { bytes } = pass;
    const from = close + 2;
    if (!isClosed(bytes[from])) return undefined;
    const name = bytes.toString("latin1", start, close);
    const before = this.#fields.get(name);
    if (before === undefined || !standsAt(before.of, before, bytes, from)) {
      pass.open = { name, start: from };
      return undefined;
    }
    pass.repeated.push(before);
    return from + before.end - before.start;
  }
}

/** The way through one object. */
class Pass {
  readonly bytes: Buffer;
  at: number;
  /** Of brackets within the object; its metadata is open at the beginning. */
  depth = 1;
  metadataEnd = 0;
  readonly skipped: Span[] = [];
  readonly repeated: Field[] = [];
  /** Fields that were not known. */
  readonly fields: (Span & { readonly name: string })[] = [];
  open: { readonly name: string; readonly start: number } | undefined;

  constructor(bytes: Buffer, metadataAt: number) {
    this.bytes = bytes;
    this.at = metadataAt;
  }

  /** Told of each byte outside of strings. */
  pass(byte: number): void {
    if (byte === 0x7b || byte === 0x5b) this.depth++;
    else if (byte === 0x7d || byte === 0x5d) {
      if (--this.depth > 0) return;
      if (this.metadataEnd === 0) this.metadataEnd = this.at;
      else if (this.depth < 0) this.#close();
    } else if (byte === COMMA && this.depth === 0) this.#close();
  }

  #close(): void {
    if (this.open !== undefined) this.fields.push({ ...this.open, end: this.at });
    this.open = undefined;
  }
}

/** Values that begin so have an end of their own; numbers go on as long as there are digits. */
function isClosed(first: number | undefined): boolean {
  return first === 0x7b || first === 0x5b || first === QUOTE;
}

/** Where the closing quote stands. */
function endOfString(bytes: Buffer, start: number): number {
  let at = start;
  while (bytes[at] !== QUOTE && at < bytes.length) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}

/** Behind the value that begins at `start`. */
function endOfValue(bytes: Buffer, start: number): number {
  for (let at = start, depth = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) at = endOfString(bytes, at + 1);
    else if (byte === 0x7b || byte === 0x5b) depth++;
    else if (byte === 0x7d || byte === 0x5d) {
      if (depth-- === 0) return at;
    } else if (byte === COMMA && depth === 0) return at;
  }
  return bytes.length;
}

/** Names of fields, found by their bytes. */
class Names {
  /** By length and first byte: a name of those that are such. Most fields are told apart from all names by that alone. */
  readonly #byHead: readonly (readonly Buffer[] | undefined)[];

  constructor(names: readonly string[]) {
    const byHead: Buffer[][] = [];
    for (const name of names) {
      const bytes = Buffer.from(name);
      (byHead[headOf(bytes, 0, bytes.length)] ??= []).push(bytes);
    }
    this.#byHead = Array.from({ length: HEADS }, (_, head) => byHead[head]);
  }

  /** True when one of the names stands there. */
  has(bytes: Buffer, start: number, end: number): boolean {
    const names = this.#byHead[headOf(bytes, start, end)];
    if (names === undefined) return false;
    return names.some(
      (name) => name.length === end - start && standsAt(name, { start: 0, end: name.length }, bytes, start),
    );
  }
}

const HEADS = 32 << 7;

function headOf(bytes: Buffer, start: number, end: number): number {
  return (((end - start) & 31) << 7) | ((bytes[start] as number) & 127);
}
