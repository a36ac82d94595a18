/**
 * Stored JSON → protobuf without parsing it in between: what stands in the text is written as it is met, so an object costs about its bytes, and no garbage. Fields come in the text's order, and what the text has not is not written: every decoder reads the
 * same out of it as out of what the encoder (protobuf-encoder.ts) makes of the parsed object. Only for text as JSON.stringify writes it; whatever is unusual is left to the encoder.
 */
import type { StructSchema } from "#apimachinery/schema.ts";
import { findDurationMs } from "#apimachinery/duration.ts";
import { canonicalQuantity } from "#apimachinery/quantity.ts";
import { type FieldPlan, ProtobufPlans, type StructPlan, type Value } from "./protobuf-plans.ts";
import { Repeats, type Seen } from "./protobuf-repeats.ts";
import { parseTime } from "./protobuf-scalars.ts";

/** The text holds something that is left to the encoder. */
class Unusual extends Error {
  readonly kind = "Unusual";
}

/** Most that is kept between two objects. */
const KEPT_BYTES = 256 * 1024;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const MINUS = 0x2d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const SMALL_N = 0x6e;
const SMALL_T = 0x74;
const SMALL_F = 0x66;

/** Keeps what it has learned of the schemas that it has met. One for a process is enough. */
export class ProtobufTranscoder {
  readonly #plans = new ProtobufPlans();
  readonly #repeats = new Repeats();
  #source: Buffer = Buffer.alloc(0);
  #at = 0;
  #target: Buffer = Buffer.allocUnsafeSlow(64 * 1024);
  #end = 0;

  /**
   * The message of an object whose stored JSON this is, with `resourceVersion` in its metadata unless that is "". Undefined where the text holds something unusual.
   */
  encode(schema: StructSchema, json: Buffer, resourceVersion: string): Buffer | undefined {
    this.#source = json;
    this.#at = 0;
    this.#end = 0;
    // Nothing grows to more than that, see #int.
    const needed = json.length * 4 + 1024;
    if (this.#target.length < needed) this.#target = Buffer.allocUnsafeSlow(needed);
    let message: Buffer | undefined;
    this.#repeats.begin(json);
    try {
      this.#struct(this.#plans.of(schema), resourceVersion);
      if (this.#at === json.length && this.#end <= this.#target.length) message = this.#taken();
      return message;
    } catch (error) {
      if (error instanceof Unusual) return undefined;
      throw error;
    } finally {
      this.#repeats.end(message);
      this.#source = Buffer.alloc(0);
      if (this.#target.length > KEPT_BYTES) this.#target = Buffer.allocUnsafeSlow(64 * 1024);
    }
  }

  #taken(): Buffer {
    const bytes = Buffer.allocUnsafe(this.#end);
    this.#target.copy(bytes, 0, 0, this.#end);
    return bytes;
  }

  #struct(plan: StructPlan, resourceVersion: string): void {
    const source = this.#source;
    if (source[this.#at++] !== OPEN_BRACE) throw new Unusual();
    if (source[this.#at] === CLOSE_BRACE) {
      this.#at++;
      return;
    }
    const fields = this.#plans.fieldsOf(plan);
    let before: FieldPlan | undefined;
    for (;;) {
      const guess = before === undefined ? plan.first : before.next;
      let field: FieldPlan | undefined;
      if (guess !== undefined && this.#isKey(guess.key)) field = guess;
      else {
        field = fields.get(this.#key());
        if (field !== undefined && before === undefined) plan.first = field;
        else if (field !== undefined && before !== undefined) before.next = field;
      }
      if (field === undefined) this.#skip();
      else {
        if (field.isMetadata && resourceVersion !== "") this.#metadata(field, resourceVersion);
        else this.#field(field);
        before = field;
      }
      const byte = source[this.#at++];
      if (byte === CLOSE_BRACE) return;
      if (byte !== COMMA) throw new Unusual();
    }
  }

  /** Metadata of the object itself. */
  #metadata(field: FieldPlan, resourceVersion: string): void {
    const plan = field.value.struct;
    const own = plan && this.#plans.fieldsOf(plan).get("resourceVersion");
    if (plan === undefined || own === undefined) throw new Unusual();
    this.#varint(field.tag);
    const start = this.#open();
    this.#varint(own.tag);
    this.#text(resourceVersion);
    this.#struct(plan, "");
    this.#close(start);
  }

  /** True, and the place is behind it, when this key comes. */
  #isKey(key: Buffer): boolean {
    const source = this.#source;
    const at = this.#at;
    for (let index = 0; index < key.length; index++) if (source[at + index] !== key[index]) return false;
    this.#at = at + key.length;
    return true;
  }

  #key(): string {
    const source = this.#source;
    if (source[this.#at] !== QUOTE) throw new Unusual();
    const start = this.#at + 1;
    let at = start;
    for (; source[at] !== QUOTE; at++) if (source[at] === BACKSLASH || at >= source.length) throw new Unusual();
    if (source[at + 1] !== 0x3a) throw new Unusual();
    this.#at = at + 2;
    return source.toString("latin1", start, at);
  }

  #field(field: FieldPlan): void {
    // null says what absence says.
    if (this.#source[this.#at] === SMALL_N) {
      this.#at += 4;
      return;
    }
    const { seen } = field;
    if (seen === undefined) return this.#messageOf(field);
    if (this.#repeated(seen)) return;
    const start = this.#at;
    const from = this.#end;
    this.#messageOf(field);
    this.#repeats.note(seen, { start, end: this.#at, from, to: this.#end });
  }

  /** True, and the place is behind it, when the value stood there the last time. */
  #repeated(seen: Seen): boolean {
    const message = this.#repeats.find(seen, this.#source, this.#at);
    if (message === undefined) return false;
    const start = this.#at;
    const from = this.#end;
    this.#at += seen.end - seen.start;
    this.#end += message.copy(this.#target, from, seen.from, seen.to);
    this.#repeats.note(seen, { start, end: this.#at, from, to: this.#end });
    return true;
  }

  #messageOf(field: FieldPlan): void {
    if (field.outerTags.length === 0) return this.#contentOf(field);
    const starts: number[] = [];
    for (const tag of field.outerTags) {
      this.#varint(tag);
      starts.push(this.#open());
    }
    this.#contentOf(field);
    for (let index = starts.length - 1; index >= 0; index--) this.#close(starts[index] as number);
  }

  #contentOf(field: FieldPlan): void {
    if (field.shape === "list") this.#list(field);
    else if (field.shape === "map") this.#map(field);
    else {
      this.#varint(field.tag);
      this.#value(field.value);
    }
  }

  #list(field: FieldPlan): void {
    const source = this.#source;
    if (source[this.#at++] !== OPEN_BRACKET) throw new Unusual();
    if (source[this.#at] === CLOSE_BRACKET) {
      this.#at++;
      return;
    }
    for (let index = 0; ; index++) {
      this.#listItem(field, field.seenItems[index]);
      const byte = source[this.#at++];
      if (byte === CLOSE_BRACKET) return;
      if (byte !== COMMA) throw new Unusual();
    }
  }

  #listItem({ tag, value }: FieldPlan, seen: Seen | undefined): void {
    if (seen !== undefined && this.#repeated(seen)) return;
    const start = this.#at;
    const from = this.#end;
    this.#varint(tag);
    this.#value(value);
    if (seen !== undefined) this.#repeats.note(seen, { start, end: this.#at, from, to: this.#end });
  }

  #map({ tag, value }: FieldPlan): void {
    const source = this.#source;
    if (source[this.#at++] !== OPEN_BRACE) throw new Unusual();
    if (source[this.#at] === CLOSE_BRACE) {
      this.#at++;
      return;
    }
    const valueTag = (2 << 3) | value.wireType;
    for (;;) {
      this.#varint(tag);
      const start = this.#open();
      this.#varint(0x0a);
      this.#string();
      if (source[this.#at++] !== 0x3a) throw new Unusual();
      this.#varint(valueTag);
      this.#value(value);
      this.#close(start);
      const byte = source[this.#at++];
      if (byte === CLOSE_BRACE) return;
      if (byte !== COMMA) throw new Unusual();
    }
  }

  /** A value with its length where it has one. */
  #value(value: Value): void {
    switch (value.form) {
      case "string":
        return this.#string();
      case "struct": {
        const start = this.#open();
        this.#struct(value.struct as StructPlan, "");
        return this.#close(start);
      }
      case "boolean":
        return this.#boolean();
      case "int":
        return this.#int(this.#integer());
      case "any":
        return this.#any();
      case "quantity":
        return this.#quantity();
      case "intOrString":
        return this.#intOrString();
      case "time":
      case "microTime":
        return this.#time(value.form === "microTime");
      case "double":
        return this.#double();
      case "bytes":
        return this.#bytes();
      case "duration":
        return this.#duration();
      case "other":
        throw new Unusual();
    }
  }

  /** Room for a length of one byte; what the message comes to is known at its {@link #close}. */
  #open(): number {
    return ++this.#end;
  }

  #close(start: number): void {
    const length = this.#end - start;
    if (length < 0x80) {
      this.#target[start - 1] = length;
      return;
    }
    const size = length < 0x4000 ? 2 : length < 0x200000 ? 3 : 4;
    this.#target.copyWithin(start - 1 + size, start, this.#end);
    this.#repeats.moved(start, size - 1);
    const end = this.#end + size - 1;
    this.#end = start - 1;
    this.#varint(length);
    this.#end = end;
  }

  #varint(value: number): void {
    const target = this.#target;
    let rest = value;
    let end = this.#end;
    while (rest >= 0x80) {
      target[end++] = (rest & 0x7f) | 0x80;
      rest = Math.floor(rest / 128);
    }
    target[end++] = rest;
    this.#end = end;
  }

  /** A string of the text, as a string. */
  #string(): void {
    const source = this.#source;
    const target = this.#target;
    const start = this.#at + 1;
    if (source[this.#at] !== QUOTE) throw new Unusual();
    let at = start;
    let end = this.#end + 1;
    for (;;) {
      const byte = source[at] as number;
      if (byte === QUOTE) break;
      if (byte === BACKSLASH) return this.#escaped();
      if (at >= source.length) throw new Unusual();
      target[end++] = byte;
      at++;
    }
    this.#at = at + 1;
    const room = this.#open();
    this.#end = end;
    this.#close(room);
  }

  #escaped(): void {
    const start = this.#at;
    this.#skipString();
    this.#text(JSON.parse(this.#source.toString("utf8", start, this.#at)) as string);
  }

  #text(text: string): void {
    const start = this.#open();
    this.#end += this.#target.write(text, start);
    this.#close(start);
  }

  /** A string of plain characters, for what is read and not copied. */
  #plain(): string {
    const source = this.#source;
    if (source[this.#at] !== QUOTE) throw new Unusual();
    const start = this.#at + 1;
    let at = start;
    for (; source[at] !== QUOTE; at++) {
      const byte = source[at];
      if (byte === undefined || byte === BACKSLASH || byte >= 0x80) throw new Unusual();
    }
    this.#at = at + 1;
    return source.toString("latin1", start, at);
  }

  #boolean(): void {
    const byte = this.#source[this.#at];
    if (byte !== SMALL_T && byte !== SMALL_F) throw new Unusual();
    this.#at += byte === SMALL_T ? 4 : 5;
    this.#target[this.#end++] = byte === SMALL_T ? 1 : 0;
  }

  #integer(): number {
    const source = this.#source;
    let at = this.#at;
    const isNegative = source[at] === MINUS;
    if (isNegative) at++;
    let value = 0;
    let digits = 0;
    for (; ; at++, digits++) {
      const digit = (source[at] as number) - 0x30;
      if (!(digit >= 0 && digit <= 9)) break;
      value = value * 10 + digit;
    }
    const next = source[at];
    const isWhole = next === COMMA || next === CLOSE_BRACE || next === CLOSE_BRACKET;
    if (!isWhole || digits === 0 || value > Number.MAX_SAFE_INTEGER) throw new Unusual();
    this.#at = at;
    return isNegative ? -value : value;
  }

  /** Negative numbers take ten bytes: with a comma before it, the most that anything grows by. */
  #int(value: number): void {
    if (value >= 0) return this.#varint(value);
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest >= 0x80n; rest >>= 7n) this.#target[this.#end++] = Number(rest & 0x7fn) | 0x80;
    this.#target[this.#end++] = Number(rest);
  }

  #double(): void {
    const start = this.#at;
    this.#skip();
    const value = Number(this.#source.toString("latin1", start, this.#at));
    if (Number.isNaN(value)) throw new Unusual();
    this.#end = this.#target.writeDoubleLE(value, this.#end);
  }

  #bytes(): void {
    const bytes = Buffer.from(this.#plain(), "base64");
    this.#varint(bytes.length);
    this.#end += bytes.copy(this.#target, this.#end);
  }

  #time(isMicro: boolean): void {
    const { seconds, nanos } = parseTime(this.#plain());
    const start = this.#open();
    this.#varint(0x08);
    this.#int(seconds);
    this.#varint(0x10);
    this.#int(isMicro ? nanos - (nanos % 1000) : 0);
    this.#close(start);
  }

  #duration(): void {
    const ms = findDurationMs(this.#plain());
    if (ms === undefined) throw new Unusual();
    const start = this.#open();
    this.#varint(0x08);
    this.#int(Math.round(ms * 1e6));
    this.#close(start);
  }

  #quantity(): void {
    const text = this.#plain();
    const isCanonical = /^(?:0|[1-9]\d{0,2}(?:m|k|M|G|Ki|Mi|Gi)?)$/.test(text);
    const start = this.#open();
    this.#varint(0x0a);
    this.#text(isCanonical ? text : canonicalQuantity(text));
    this.#close(start);
  }

  #intOrString(): void {
    const isString = this.#source[this.#at] === QUOTE;
    const start = this.#open();
    this.#varint(0x08);
    this.#varint(isString ? 1 : 0);
    this.#varint(isString ? 0x1a : 0x10);
    if (isString) this.#string();
    else this.#int(this.#integer());
    this.#close(start);
  }

  /** JSON as it stands. */
  #any(): void {
    const from = this.#at;
    this.#skip();
    const length = this.#at - from;
    const start = this.#open();
    this.#varint(0x0a);
    this.#varint(length);
    this.#source.copy(this.#target, this.#end, from, this.#at);
    this.#end += length;
    this.#close(start);
  }

  /** Goes behind a value: to the comma or bracket that follows it. */
  #skip(): void {
    const source = this.#source;
    let at = this.#at;
    for (let depth = 0; ; at++) {
      const byte = source[at];
      if (byte === QUOTE) {
        for (at++; source[at] !== QUOTE; at++) {
          if (source[at] === BACKSLASH) at++;
          if (at >= source.length) throw new Unusual();
        }
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
      else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        if (depth-- === 0) break;
      } else if (byte === COMMA && depth === 0) break;
      else if (byte === undefined) throw new Unusual();
    }
    this.#at = at;
  }

  #skipString(): void {
    const source = this.#source;
    let at = this.#at + 1;
    while (source[at] !== QUOTE) {
      if (at >= source.length) throw new Unusual();
      at += source[at] === BACKSLASH ? 2 : 1;
    }
    this.#at = at + 1;
  }
}
