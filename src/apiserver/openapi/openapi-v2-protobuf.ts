/**
 * OpenAPI 2.0 as protobuf, which kubectl and client-go ask for first: application/com.github.proto-openapi.spec.v2@v1.0+protobuf. Messages and numbers as in
 * gnostic's OpenAPIv2.proto; only what buildOpenApiV2 writes is known here, and what other servers' documents have of the same kind. Fields are written last first (see protobuf-writer.ts).
 */
import { ProtobufWriter } from "#apimachinery/codecs/protobuf-writer.ts";
import type { Slices } from "#apiserver/negotiation/slices.ts";
import type { JsonObject } from "./definitions.ts";

/** How a property of a JSON object is written: by its field's number. */
type Write = (writer: ProtobufWriter, value: unknown, number: number) => void;
type Message = Readonly<Record<string, readonly [number: number, write: Write]>>;

/** The document's bytes. */
export async function encodeOpenApiV2(document: JsonObject, slices: Slices): Promise<Buffer> {
  const { paths, definitions, security, securityDefinitions, ...head } = document;
  const writer = new ProtobufWriter(1024 * 1024);
  writeFields(writer, { security, securityDefinitions }, documentMessage);
  await writeNamedInSlices(
    writer,
    { entries: Object.entries(definitions as object), write: schema, inner: 1, number: 9 },
    slices,
  );
  const path = message(() => pathItem);
  await writeNamedInSlices(
    writer,
    { entries: Object.entries(paths as object), write: path, inner: 2, number: 8 },
    slices,
  );
  writeFields(writer, head, documentMessage);
  return writer.take();
}

/** As {@link named}, but with room for others between entries. */
async function writeNamedInSlices(
  writer: ProtobufWriter,
  field: {
    readonly entries: readonly [string, unknown][];
    readonly write: Write;
    readonly inner: number;
    readonly number: number;
  },
  slices: Slices,
): Promise<void> {
  const before = writer.length;
  for (let index = field.entries.length - 1; index >= 0; index--) {
    writeNamed(writer, [field.entries[index] as [string, unknown]], field.write, field.inner);
    if (slices.isOver()) await slices.next();
  }
  writer.varint(writer.length - before);
  writer.varint((field.number << 3) | 2);
}

const text: Write = (writer, value, number) => {
  writer.string(String(value));
  writer.varint((number << 3) | 2);
};
const flag: Write = (writer, value, number) => {
  writer.byte(value === true ? 1 : 0);
  writer.varint(number << 3);
};
const integer: Write = (writer, value, number) => {
  writer.int(value as number);
  writer.varint(number << 3);
};
const double: Write = (writer, value, number) => {
  writer.double(value as number);
  writer.varint((number << 3) | 1);
};
/** Any: its `yaml` is the JSON text, which is YAML too. */
const any: Write = (writer, value, number) =>
  delimited(writer, number, () => text(writer, `${JSON.stringify(value)}\n`, 2));

function repeated(write: Write): Write {
  return (writer, value, number) => {
    const list = value as readonly unknown[];
    for (let index = list.length - 1; index >= 0; index--) write(writer, list[index], number);
  };
}

function message(fields: () => Message): Write {
  return (writer, value, number) => delimited(writer, number, () => writeFields(writer, value as JsonObject, fields()));
}

/** An object whose keys are free: a message whose field `inner` repeats pairs of name and value. */
function named(write: Write, inner = 1): Write {
  return (writer, value, number) =>
    delimited(writer, number, () => writeNamed(writer, Object.entries(value as object), write, inner));
}

/** A oneof of one choice: the value wrapped in a message at `number`. */
function choice(inner: number, write: Write): Write {
  return (writer, value, number) => delimited(writer, number, () => write(writer, value, inner));
}

function writeNamed(writer: ProtobufWriter, entries: readonly [string, unknown][], write: Write, number: number): void {
  for (let index = entries.length - 1; index >= 0; index--) {
    const [name, value] = entries[index] as [string, unknown];
    delimited(writer, number, () => {
      write(writer, value, 2);
      text(writer, name, 1);
    });
  }
}

/** Properties that the message does not have a field for are vendor extensions ("x-…"), in the field "x-". */
function writeFields(writer: ProtobufWriter, object: JsonObject, fields: Message): void {
  const extensions = Object.entries(object).filter(([key]) => key.startsWith("x-"));
  const extensionNumber = fields["x-"]?.[0];
  if (extensionNumber !== undefined) writeNamed(writer, extensions, any, extensionNumber);
  const known = Object.entries(object).flatMap(([key, value]) => {
    const field = fields[key];
    return field === undefined || key === "x-" ? [] : [{ number: field[0], write: field[1], value }];
  });
  known.sort((left, right) => right.number - left.number);
  for (const { number, write, value } of known) if (value !== undefined) write(writer, value, number);
}

function delimited(writer: ProtobufWriter, number: number, write: () => void): void {
  const before = writer.length;
  write();
  writer.varint(writer.length - before);
  writer.varint((number << 3) | 2);
}

const schemaMessage: Message = {
  $ref: [1, text],
  format: [2, text],
  title: [3, text],
  description: [4, text],
  default: [5, any],
  multipleOf: [6, double],
  maximum: [7, double],
  exclusiveMaximum: [8, flag],
  minimum: [9, double],
  exclusiveMinimum: [10, flag],
  maxLength: [11, integer],
  minLength: [12, integer],
  pattern: [13, text],
  maxItems: [14, integer],
  minItems: [15, integer],
  uniqueItems: [16, flag],
  maxProperties: [17, integer],
  minProperties: [18, integer],
  required: [19, repeated(text)],
  enum: [20, repeated(any)],
  additionalProperties: [
    21,
    (writer, value, number) =>
      delimited(writer, number, () => (typeof value === "boolean" ? flag(writer, value, 2) : schema(writer, value, 1))),
  ],
  type: [22, (writer, value, number) => delimited(writer, number, () => repeated(text)(writer, [value].flat(), 1))],
  items: [23, (writer, value, number) => delimited(writer, number, () => repeated(schema)(writer, [value].flat(), 1))],
  allOf: [24, repeated(schema)],
  properties: [25, named(schema)],
  example: [30, any],
  "x-": [31, any],
};

function schema(writer: ProtobufWriter, value: unknown, number: number): void {
  delimited(writer, number, () => writeFields(writer, value as JsonObject, schemaMessage));
}

const bodyParameter: Message = {
  description: [1, text],
  name: [2, text],
  in: [3, text],
  required: [4, flag],
  schema: [5, schema],
};
const queryParameter: Message = {
  required: [1, flag],
  in: [2, text],
  description: [3, text],
  name: [4, text],
  type: [6, text],
  uniqueItems: [20, flag],
};
const headerParameter: Message = {
  required: [1, flag],
  in: [2, text],
  description: [3, text],
  name: [4, text],
  type: [5, text],
  uniqueItems: [19, flag],
};
const pathParameter: Message = {
  required: [1, flag],
  in: [2, text],
  description: [3, text],
  name: [4, text],
  type: [5, text],
  uniqueItems: [19, flag],
};

/** What is no body, by its place: the field of NonBodyParameter. Forms look as queries do. */
const placedParameters: Readonly<Record<string, readonly [number: number, fields: Message]>> = {
  header: [1, headerParameter],
  formData: [2, queryParameter],
  query: [3, queryParameter],
  path: [4, pathParameter],
};

/** ParametersItem → Parameter → body, or another. */
const parameter: Write = (writer, value, number) =>
  delimited(writer, number, () =>
    delimited(writer, 1, () => {
      const place = String((value as JsonObject)["in"]);
      const [number, fields] = placedParameters[place] ?? [4, pathParameter];
      if (place === "body") message(() => bodyParameter)(writer, value, 1);
      else delimited(writer, 2, () => message(() => fields)(writer, value, number));
    }),
  );

const response: Message = { description: [1, text], schema: [2, choice(1, schema)] };

const operation: Message = {
  tags: [1, repeated(text)],
  description: [3, text],
  operationId: [5, text],
  produces: [6, repeated(text)],
  consumes: [7, repeated(text)],
  parameters: [8, repeated(parameter)],
  responses: [
    9,
    named(
      choice(
        1,
        message(() => response),
      ),
    ),
  ],
  schemes: [10, repeated(text)],
  "x-": [13, any],
};

const pathItem: Message = {
  get: [2, message(() => operation)],
  put: [3, message(() => operation)],
  post: [4, message(() => operation)],
  delete: [5, message(() => operation)],
  options: [6, message(() => operation)],
  head: [7, message(() => operation)],
  patch: [8, message(() => operation)],
  parameters: [9, repeated(parameter)],
};

const apiKey: Message = { type: [1, text], name: [2, text], in: [3, text], description: [4, text] };
const stringList: Write = (writer, value, number) => delimited(writer, number, () => repeated(text)(writer, value, 1));

const documentMessage: Message = {
  swagger: [1, text],
  info: [2, message(() => ({ title: [1, text], version: [2, text] }))],
  security: [12, repeated(named(stringList))],
  securityDefinitions: [
    13,
    named(
      choice(
        2,
        message(() => apiKey),
      ),
    ),
  ],
};
