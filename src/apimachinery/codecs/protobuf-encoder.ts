/**
 * Objects → protobuf as upstream's generated Go code writes it: every field without a pointer is written, also when it is empty; maps in order of their keys;
 * fields in order of their numbers. A struct's encoder is built once from its schema and is a list of small functions, the highest field number first (see protobuf-writer.ts).
 */
import type { FieldSchema, ListSchema, MapSchema, ScalarSchema, Schema, StructSchema } from "#apimachinery/schema.ts";
import { findDurationMs } from "#apimachinery/duration.ts";
import { canonicalQuantity } from "#apimachinery/quantity.ts";
import { badRequest } from "#apimachinery/status-error.ts";
import { sortedKeys } from "./own-key.ts";
import { parseTime } from "./protobuf-scalars.ts";
import { RawJson } from "./raw-json.ts";
import type { ProtobufWriter } from "./protobuf-writer.ts";

type JsonObject = Readonly<Record<string, unknown>>;
/** Writes the content of a message. */
type EncodeMessage = (writer: ProtobufWriter, object: JsonObject) => void;
/** Writes one value with its length where it has one, without its tag. */
type EncodeValue = (writer: ProtobufWriter, value: unknown) => void;
type ValueEncoder = { readonly wireType: 0 | 1 | 2; readonly encode: EncodeValue; readonly zero: unknown };

const empty: JsonObject = Object.freeze({});

/** Encoders of structs, each made when first needed. */
export class ProtobufEncoders {
  readonly #messages = new Map<StructSchema, EncodeMessage>();

  /** The encoder of a struct. Recursive structs find themselves. */
  messageOf(struct: StructSchema): EncodeMessage {
    const known = this.#messages.get(struct);
    if (known !== undefined) return known;
    let compiled: EncodeMessage | undefined;
    const lazy: EncodeMessage = (writer, object) => {
      compiled ??= this.#compile([...struct.fields.values()], 0);
      compiled(writer, object);
    };
    this.#messages.set(struct, lazy);
    return lazy;
  }

  /** `depth`: how many messages around these fields are written already (fields of inlined structs, see FieldSchema.protobufPath). */
  #compile(fields: readonly FieldSchema[], depth: number): EncodeMessage {
    const steps = new Map<number, EncodeMessage>();
    const inlined = new Map<number, FieldSchema[]>();
    for (const field of fields) {
      if (field.protobufNumber === undefined) continue;
      const outer = field.protobufPath?.[depth];
      if (outer === undefined) steps.set(field.protobufNumber, this.#field(field, field.protobufNumber));
      else inlined.set(outer, [...(inlined.get(outer) ?? []), field]);
    }
    for (const [number, inner] of inlined) steps.set(number, messageField(number, this.#compile(inner, depth + 1)));
    const ordered = [...steps].sort(([left], [right]) => right - left).map(([, step]) => step);
    return (writer, object) => {
      for (const step of ordered) step(writer, object);
    };
  }

  #field(field: FieldSchema, number: number): EncodeMessage {
    const { schema, name } = field;
    if (schema.kind === "list" && schema.isProtobufMessage !== true) return this.#list(name, number, schema);
    if (schema.kind === "map") return this.#map(name, number, schema);
    const { wireType, encode, zero } = this.#value(schema);
    const tag = (number << 3) | wireType;
    const isAlwaysWritten = field.isPointer !== true && zero !== undefined;
    return (writer, object) => {
      let value = object[name];
      if (value === undefined || value === null) {
        if (!isAlwaysWritten) return;
        value = zero;
      }
      encode(writer, value);
      writer.varint(tag);
    };
  }

  #list(name: string, number: number, schema: ListSchema): EncodeMessage {
    const { wireType, encode, zero } = this.#value(schema.items);
    const tag = (number << 3) | wireType;
    return (writer, object) => {
      const values = object[name] as readonly unknown[] | undefined | null;
      if (values === undefined || values === null) return;
      for (let index = values.length - 1; index >= 0; index--) {
        encode(writer, values[index] ?? zero);
        writer.varint(tag);
      }
    };
  }

  #map(name: string, number: number, schema: MapSchema): EncodeMessage {
    const { wireType, encode, zero } = this.#value(schema.values);
    const tag = (number << 3) | 2;
    const valueTag = (2 << 3) | wireType;
    return (writer, object) => {
      const map = object[name] as JsonObject | undefined | null;
      if (map === undefined || map === null) return;
      const keys = sortedKeys(map);
      for (let index = keys.length - 1; index >= 0; index--) {
        const key = keys[index] ?? "";
        const before = writer.length;
        const value = map[key] ?? zero;
        if (value !== undefined) {
          encode(writer, value);
          writer.byte(valueTag);
        }
        writer.string(key);
        writer.byte(0x0a);
        writer.varint(writer.length - before);
        writer.varint(tag);
      }
    };
  }

  #value(schema: Schema): ValueEncoder {
    if (schema.kind === "struct") {
      const message = this.messageOf(schema);
      return { wireType: 2, zero: empty, encode: delimited((writer, value) => message(writer, value as JsonObject)) };
    }
    if (schema.kind === "list") {
      // A list where protobuf allows no repetition: a message whose field 1 repeats.
      const items = this.#list("items", 1, { ...schema, isProtobufMessage: false });
      return { wireType: 2, zero: [], encode: delimited((writer, value) => items(writer, { items: value })) };
    }
    if (schema.kind === "map") throw new Error("protobuf has no map in a list or map");
    return schema.union === undefined ? scalarEncoder(schema) : this.#union(schema.union);
  }

  #union({ form, struct }: NonNullable<ScalarSchema["union"]>): ValueEncoder {
    const message = this.messageOf(struct);
    const one = (number: number): EncodeMessage => messageField(number, message);
    const encode: EncodeValue = (writer, value) => {
      if (Array.isArray(value)) {
        for (let index = value.length - 1; index >= 0; index--) {
          if (form === "orStringArray") writer.string(String(value[index]));
          else encodeMessage(writer, value[index] ?? empty, message);
          writer.byte(0x12);
        }
        return;
      }
      const isSchema = typeof value === "object" && value !== null;
      if (isSchema) one(form === "orBool" ? 2 : 1)(writer, value as JsonObject);
      if (form !== "orBool") return;
      writer.byte(isSchema || value === true ? 1 : 0);
      writer.byte(0x08);
    };
    return { wireType: 2, zero: null, encode: delimited(encode) };
  }
}

/** A field that is a message made of the fields of the same object. */
function messageField(number: number, encode: EncodeMessage): EncodeMessage {
  const tag = (number << 3) | 2;
  return (writer, object) => {
    encodeMessage(writer, object, encode);
    writer.varint(tag);
  };
}

function encodeMessage(writer: ProtobufWriter, object: JsonObject, encode: EncodeMessage): void {
  const before = writer.length;
  encode(writer, object);
  writer.varint(writer.length - before);
}

function delimited(encode: EncodeValue): EncodeValue {
  return (writer, value) => {
    const before = writer.length;
    encode(writer, value);
    writer.varint(writer.length - before);
  };
}

function scalarEncoder(schema: ScalarSchema): ValueEncoder {
  switch (schema.type) {
    case "string":
      return { wireType: 2, zero: "", encode: (writer, value) => writer.string(value as string) };
    case "boolean":
      return { wireType: 0, zero: false, encode: (writer, value) => writer.byte(value === true ? 1 : 0) };
    case "int32":
    case "int64":
      return { wireType: 0, zero: 0, encode: (writer, value) => writer.int(value as number) };
    case "double":
      return { wireType: 1, zero: 0, encode: (writer, value) => writer.double(value as number) };
    case "bytes":
      // No zero: Go writes no nil slice.
      return {
        wireType: 2,
        zero: undefined,
        encode: (writer, value) => writer.bytes(Buffer.from(value as string, "base64")),
      };
    case "quantity":
      return { wireType: 2, zero: "0", encode: delimited(encodeQuantity) };
    case "time":
    case "microTime":
      return { wireType: 2, zero: null, encode: delimited(schema.type === "time" ? encodeTime : encodeMicroTime) };
    case "duration":
      return { wireType: 2, zero: "0s", encode: delimited(encodeDuration) };
    case "intOrString":
      return { wireType: 2, zero: 0, encode: delimited(encodeIntOrString) };
    case "any":
      return { wireType: 2, zero: null, encode: delimited(encodeAny) };
  }
}

function encodeQuantity(writer: ProtobufWriter, value: unknown): void {
  const isCanonical = typeof value === "string" && /^(?:0|[1-9]\d{0,2}(?:m|k|M|G|Ki|Mi|Gi)?)$/.test(value);
  writer.string(isCanonical ? value : canonicalQuantity(value as string | number));
  writer.byte(0x0a);
}

function encodeTime(writer: ProtobufWriter, value: unknown): void {
  if (value !== null) encodeTimestamp(writer, parseTime(value as string).seconds, 0);
}

function encodeMicroTime(writer: ProtobufWriter, value: unknown): void {
  if (value === null) return;
  const { seconds, nanos } = parseTime(value as string);
  encodeTimestamp(writer, seconds, nanos - (nanos % 1000));
}

function encodeTimestamp(writer: ProtobufWriter, seconds: number, nanos: number): void {
  writer.int(nanos);
  writer.byte(0x10);
  writer.int(seconds);
  writer.byte(0x08);
}

function encodeDuration(writer: ProtobufWriter, value: unknown): void {
  const ms = findDurationMs(value as string);
  if (ms === undefined) throw badRequest(`time: invalid duration ${JSON.stringify(value)}`);
  writer.int(Math.round(ms * 1e6));
  writer.byte(0x08);
}

function encodeIntOrString(writer: ProtobufWriter, value: unknown): void {
  const isString = typeof value === "string";
  writer.string(isString ? value : "");
  writer.byte(0x1a);
  writer.int(isString ? 0 : (value as number));
  writer.byte(0x10);
  writer.byte(isString ? 1 : 0);
  writer.byte(0x08);
}

/** RawExtension, FieldsV1 and CustomResourceDefinitions' JSON: a message with the JSON text in field 1; null is an empty message. */
function encodeAny(writer: ProtobufWriter, value: unknown): void {
  if (value === null) return;
  if (value instanceof RawJson) writer.bytes(value.bytes);
  else writer.string(JSON.stringify(value));
  writer.byte(0x0a);
}
