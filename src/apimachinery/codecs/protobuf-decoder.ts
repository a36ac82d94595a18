/**
 * Protobuf → objects as Go would show them in JSON: fields in the schema's order, empty ones left out where Go's tags say so, structs without a pointer always there.
 * A struct's decoder is built once from its schema: fields are read into slots by their number, and the object is made from the slots at the end.
 */
import type { FieldSchema, ScalarSchema, Schema, StructSchema } from "#apimachinery/schema.ts";
import { type ProtobufReader, malformed } from "./protobuf-reader.ts";
import { formatDuration } from "#apimachinery/duration.ts";
import { formatTime } from "#apimachinery/time.ts";
import { absenceOf, isOmittedValue, zeroOf } from "./go-json.ts";
import { assertReadableKey, setOwn } from "./own-key.ts";
import { formatMicroTime } from "./protobuf-scalars.ts";

type Slots = unknown[];
/** Reads one field into its slot. */
type DecodeField = (reader: ProtobufReader, slots: Slots) => void;
type FieldReader = { readonly wireType: 0 | 1 | 2; readonly decode: DecodeField; readonly packed?: DecodeField };
/** Fields of one message by number. */
type FieldReaders = (FieldReader | undefined)[];
type ValueDecoder = { readonly wireType: 0 | 1 | 2; readonly read: (reader: ProtobufReader) => unknown };
/** What becomes of a field that was not read or was read as its zero. */
type Finish = {
  readonly name: string;
  /** Left out when not read. Else `absent` gives the value. */
  readonly absent: (() => unknown) | undefined;
  /** A value that is left out although it was read; a unique object where none is. */
  readonly omitted: unknown;
};

const nothing = Symbol("nothing");

/** Decodes one struct's message up to the reader's end. */
export type MessageDecoder = {
  readonly decode: (
    reader: ProtobufReader,
    typeMeta?: { readonly apiVersion: string; readonly kind: string },
  ) => Record<string, unknown>;
  readonly makeEmpty: () => Record<string, unknown>;
};

/** Decoders of structs, each made when first needed. */
export class ProtobufDecoders {
  readonly #messages = new Map<StructSchema, MessageDecoder>();

  /** The decoder of a struct. Recursive structs find themselves. */
  messageOf(struct: StructSchema): MessageDecoder {
    const known = this.#messages.get(struct);
    if (known !== undefined) return known;
    let compiled: MessageDecoder | undefined;
    const get = (): MessageDecoder => (compiled ??= this.#compile(struct));
    const lazy: MessageDecoder = {
      decode: (reader, typeMeta) => get().decode(reader, typeMeta),
      makeEmpty: () => get().makeEmpty(),
    };
    this.#messages.set(struct, lazy);
    return lazy;
  }

  #compile(struct: StructSchema): MessageDecoder {
    const fields = [...struct.fields.values()];
    const readers = this.#readers(
      fields.map((field, slot) => ({ field, slot })),
      0,
    );
    const finishes = fields.map((field) => this.#finish(field));
    const apiVersionSlot = fields.findIndex(
      (field) => field.name === "apiVersion" && field.protobufNumber === undefined,
    );
    const kindSlot = fields.findIndex((field) => field.name === "kind" && field.protobufNumber === undefined);
    return {
      decode: (reader, typeMeta) => {
        const slots: Slots = [];
        if (typeMeta !== undefined) {
          if (apiVersionSlot >= 0) slots[apiVersionSlot] = typeMeta.apiVersion;
          if (kindSlot >= 0) slots[kindSlot] = typeMeta.kind;
        }
        readMessage(reader, readers, slots);
        return build(slots, finishes);
      },
      makeEmpty: () => build([], finishes),
    };
  }

  #readers(fields: readonly { readonly field: FieldSchema; readonly slot: number }[], depth: number): FieldReaders {
    const readers: FieldReaders = [];
    const inlined = new Map<number, { field: FieldSchema; slot: number }[]>();
    for (const { field, slot } of fields) {
      if (field.protobufNumber === undefined) continue;
      const outer = field.protobufPath?.[depth];
      if (outer === undefined) readers[field.protobufNumber] = this.#reader(field.schema, slot);
      else inlined.set(outer, [...(inlined.get(outer) ?? []), { field, slot }]);
    }
    for (const [number, inner] of inlined) {
      const innerReaders = this.#readers(inner, depth + 1);
      readers[number] = { wireType: 2, decode: (reader, slots) => readNested(reader, innerReaders, slots) };
    }
    return readers;
  }

  #reader(schema: Schema, slot: number): FieldReader {
    if (schema.kind === "list" && schema.isProtobufMessage !== true) return this.#listReader(schema.items, slot);
    if (schema.kind === "map") return this.#mapReader(schema.values, slot);
    const { wireType, read } = this.#value(schema);
    return {
      wireType,
      decode: (reader, slots) => {
        slots[slot] = read(reader);
      },
    };
  }

  #listReader(items: Schema, slot: number): FieldReader {
    const { wireType, read } = this.#value(items);
    const decode: DecodeField = (reader, slots) => {
      const list = slots[slot] as unknown[] | undefined;
      if (list === undefined) slots[slot] = [read(reader)];
      else list.push(read(reader));
    };
    if (wireType === 2) return { wireType, decode };
    const packed: DecodeField = (reader, slots) => {
      const outerEnd = reader.enter();
      while (reader.hasMore) decode(reader, slots);
      reader.leave(outerEnd);
    };
    return { wireType, decode, packed };
  }

  #mapReader(values: Schema, slot: number): FieldReader {
    const { read, wireType } = this.#value(values);
    const zero = zeroOf(values);
    return {
      wireType: 2,
      decode: (reader, slots) => {
        const map = (slots[slot] ??= {}) as Record<string, unknown>;
        let key = "";
        let value: unknown = nothing;
        const outerEnd = reader.enter();
        while (reader.hasMore) {
          const tag = reader.tag();
          if (tag === 0x0a) key = reader.string();
          else if (tag === ((2 << 3) | wireType)) value = read(reader);
          else reader.skipField(tag & 7);
        }
        reader.leave(outerEnd);
        assertReadableKey(key);
        setOwn(map, key, value === nothing ? zero : value);
      },
    };
  }

  #value(schema: Schema): ValueDecoder {
    if (schema.kind === "struct") {
      const message = this.messageOf(schema);
      return { wireType: 2, read: inMessage((reader) => message.decode(reader)) };
    }
    if (schema.kind === "list") {
      const readers: FieldReaders = [undefined, this.#listReader(schema.items, 0)];
      return { wireType: 2, read: (reader) => readSlots(reader, readers)[0] ?? [] };
    }
    if (schema.kind === "map") throw new Error("protobuf has no map in a list or map");
    return schema.union === undefined ? scalarDecoder(schema) : this.#union(schema.union);
  }

  #union({ form, struct }: NonNullable<ScalarSchema["union"]>): ValueDecoder {
    const one = this.#reader(struct, 0);
    const boolean = this.#reader({ kind: "scalar", type: "boolean" }, 1);
    const many = this.#listReader(form === "orStringArray" ? { kind: "scalar", type: "string" } : struct, 1);
    const readers: FieldReaders = form === "orBool" ? [undefined, boolean, one] : [undefined, one, many];
    return {
      wireType: 2,
      read: (reader) => {
        const [schema, other] = readSlots(reader, readers);
        if (form === "orBool") return schema ?? other ?? false;
        return other ?? schema ?? null;
      },
    };
  }

  #finish(field: FieldSchema): Finish {
    const { name, schema } = field;
    const absence = absenceOf(field);
    const zero = zeroOf(schema);
    const omitted = schema.kind === "scalar" && isOmittedValue(field, zero, 0) ? zero : nothing;
    if (absence.shown === "nothing") return { name, absent: undefined, omitted };
    if (absence.shown === "value") return { name, absent: () => absence.value, omitted };
    const message = this.messageOf(schema as StructSchema);
    return { name, absent: () => message.makeEmpty(), omitted };
  }
}

function build(slots: Slots, finishes: readonly Finish[]): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (let slot = 0; slot < finishes.length; slot++) {
    const finish = finishes[slot] as Finish;
    const value = slots[slot];
    if (value === undefined) {
      if (finish.absent !== undefined) object[finish.name] = finish.absent();
    } else if (value !== finish.omitted) object[finish.name] = value;
  }
  return object;
}

function readMessage(reader: ProtobufReader, readers: FieldReaders, slots: Slots): void {
  while (reader.hasMore) {
    const tag = reader.tag();
    const field = readers[tag >>> 3];
    const wireType = tag & 7;
    if (field === undefined) reader.skipField(wireType);
    else if (field.wireType === wireType) field.decode(reader, slots);
    else if (field.packed !== undefined && wireType === 2) field.packed(reader, slots);
    else throw malformed(`wrong wireType = ${wireType} for field ${tag >>> 3}`);
  }
}

function readNested(reader: ProtobufReader, readers: FieldReaders, slots: Slots): void {
  const outerEnd = reader.enter();
  readMessage(reader, readers, slots);
  reader.leave(outerEnd);
}

function readSlots(reader: ProtobufReader, readers: FieldReaders): Slots {
  const slots: Slots = [];
  readNested(reader, readers, slots);
  return slots;
}

function inMessage<T>(read: (reader: ProtobufReader) => T): (reader: ProtobufReader) => T {
  return (reader) => {
    const outerEnd = reader.enter();
    const value = read(reader);
    reader.leave(outerEnd);
    return value;
  };
}

const numbersOne: FieldReaders = [
  undefined,
  { wireType: 0, decode: (reader, slots) => void (slots[0] = reader.int64()) },
];
const numbersTwo: FieldReaders = [
  ...numbersOne,
  { wireType: 0, decode: (reader, slots) => void (slots[1] = reader.int64()) },
];
const stringOne: FieldReaders = [
  undefined,
  { wireType: 2, decode: (reader, slots) => void (slots[0] = reader.string()) },
];
const intOrString: FieldReaders = [
  ...numbersTwo,
  { wireType: 2, decode: (reader, slots) => void (slots[2] = reader.string()) },
];

function scalarDecoder(schema: ScalarSchema): ValueDecoder {
  switch (schema.type) {
    case "string":
      return { wireType: 2, read: (reader) => reader.string() };
    case "boolean":
      return { wireType: 0, read: (reader) => reader.boolean() };
    case "int32":
      return { wireType: 0, read: (reader) => reader.int32() };
    case "int64":
      return { wireType: 0, read: (reader) => reader.int64() };
    case "double":
      return { wireType: 1, read: (reader) => reader.double() };
    case "bytes":
      return { wireType: 2, read: (reader) => reader.bytes().toString("base64") };
    case "quantity":
      return { wireType: 2, read: (reader) => readSlots(reader, stringOne)[0] ?? "0" };
    case "time":
      return { wireType: 2, read: (reader) => readTimestamp(reader, (seconds) => formatTime(seconds * 1000)) };
    case "microTime":
      return { wireType: 2, read: (reader) => readTimestamp(reader, formatMicroTime) };
    case "duration":
      return {
        wireType: 2,
        read: (reader) => formatDuration(((readSlots(reader, numbersOne)[0] as number) ?? 0) / 1e6),
      };
    case "intOrString":
      return { wireType: 2, read: readIntOrString };
    case "any":
      return { wireType: 2, read: readAny };
  }
}

function readTimestamp(reader: ProtobufReader, format: (seconds: number, nanos: number) => string): string | null {
  const [seconds, nanos] = readSlots(reader, numbersTwo) as (number | undefined)[];
  if (seconds === undefined) return null;
  if (Math.abs(seconds) > 8.64e12) throw malformed("time out of range");
  return format(seconds, nanos ?? 0);
}

function readIntOrString(reader: ProtobufReader): unknown {
  const [type, number, text] = readSlots(reader, intOrString);
  return type === 1 ? (text ?? "") : Number(number ?? 0) | 0;
}

function readAny(reader: ProtobufReader): unknown {
  const text = readSlots(reader, stringOne)[0] as string | undefined;
  if (text === undefined || text === "") return null;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw malformed(`embedded JSON: ${String(cause)}`);
  }
}
