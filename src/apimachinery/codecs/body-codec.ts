/**
 * Request bodies → objects: JSON, YAML or protobuf, checked against the kind's schema as `fieldValidation` asks. Messages as in apiserver's create handler
 * and the strict decoding errors of apimachinery's serializers.
 */
import { parseApiVersion } from "#apimachinery/meta.ts";
import type { StructSchema } from "#apimachinery/schema.ts";
import { StatusError, badRequest } from "#apimachinery/status-error.ts";
import type { TakeSteps } from "#apimachinery/steps.ts";
import { parseJsonSteps } from "./json-pieces.ts";
import { type JsonMember, parseJson, visitMembers } from "./json-text.ts";
import { type ReadObject, readObject, readObjectSteps } from "./object-reader.ts";
import type { ProtobufCodec } from "./protobuf-codec.ts";
import { readEnvelope } from "./protobuf-envelope.ts";
import { parseYaml, type YamlText } from "./yaml-text.ts";

/** What to do about fields that are unknown or stand twice. Upstream's default is Warn. */
export type FieldValidation = "Ignore" | "Warn" | "Strict";

/** How a body is to be read. */
export type BodyOptions = {
  /** Without parameters: "application/json", "application/yaml", "application/vnd.kubernetes.protobuf". */
  readonly mediaType: string;
  /** The kind that the request is about; taken where the body names none. */
  readonly expected: { readonly apiVersion: string; readonly kind: string };
  /** The schema of a kind that the body names; undefined for kinds that nobody knows. */
  readonly findSchema: (group: string, version: string, kind: string) => StructSchema | undefined;
  readonly fieldValidation: FieldValidation;
  readonly protobuf: ProtobufCodec;
  /** Reads YAML; absent: at once, in this thread. */
  readonly parseYaml?: (bytes: Uint8Array) => Promise<YamlText>;
  /** Takes the steps in which large bodies are read, with turns for others between; absent: all at once. */
  readonly takeSteps?: TakeSteps;
};

/** What was read. `object` has apiVersion and kind, as named by the body or else as expected. `warnings` go into Warning headers. */
export type DecodedBody = { readonly object: Record<string, unknown>; readonly warnings: readonly string[] };

/** A body's parsed value, and how to say what is wrong with it beyond its types. */
type ParsedBody = {
  readonly value: unknown;
  readonly complaints: (read: ReadObject, isCustom: boolean) => readonly string[];
};

/** So often the same may be wrong before nobody looks on. */
const maxComplaints = 2000;

/** Larger bodies are read in steps. */
const LARGE_BYTES = 128 * 1024;

/** Most complaints that are told of one body. */
const maxStrictErrors = 100;

/** Reads a body. Throws 400 with upstream's words, and 415 for other media types. */
export async function decodeBody(bytes: Uint8Array, options: BodyOptions): Promise<DecodedBody> {
  if (options.mediaType === "application/vnd.kubernetes.protobuf") return decodeProtobuf(bytes, options);
  const parsed = await unrecognizedUnless(() => parseBody(bytes, options), bytes, options);
  const typed = await unrecognizedUnless(() => withTypeMeta(parsed.value, options.expected), bytes, options);
  const schema = schemaFor(typed, options);
  const takeSteps = stepsFor(bytes, options);
  const read =
    takeSteps === undefined
      ? handledAs(typed, options, () => readObject(schema, typed.value))
      : await handledInSteps(typed, options, () => takeSteps(readObjectSteps(schema, typed.value)));
  if (options.fieldValidation === "Ignore") return { object: named(read.object, typed), warnings: [] };
  const errors = [...new Set(parsed.complaints(read, schema.name === ""))].slice(0, maxStrictErrors);
  if (options.fieldValidation === "Strict" && errors.length > 0) {
    throw cannotBeHandled(typed, options, `strict decoding error: ${errors.join(", ")}`);
  }
  return { object: named(read.object, typed), warnings: errors };
}

type TypedValue = {
  readonly value: Readonly<Record<string, unknown>>;
  readonly apiVersion: string;
  readonly kind: string;
};

async function parseBody(bytes: Uint8Array, options: BodyOptions): Promise<ParsedBody> {
  const { mediaType } = options;
  if (mediaType === "application/json") {
    const { value, memberCount } = (await stepsFor(bytes, options)?.(parseJsonSteps(bytes))) ?? parseJson(bytes);
    const complaints: ParsedBody["complaints"] = (read, isCustom) => {
      if (read.memberCount === memberCount && read.unknownFields.length === 0) return [];
      return isCustom ? customComplaints(bytes, read) : typedComplaints(bytes, read);
    };
    return { value, complaints };
  }
  if (mediaType !== "application/yaml") throw unsupportedMediaType(mediaType);
  const { value, duplicates } = await (options.parseYaml ?? parseYaml)(bytes);
  const complaints: ParsedBody["complaints"] = (read) => {
    const repeated = duplicates === undefined ? [] : [duplicates];
    if (read.unknownFields.length === 0) return repeated;
    return [...repeated, ...typedComplaints(Buffer.from(JSON.stringify(value)), read)];
  };
  return { value, complaints };
}

/** In the order of the text; what stands below an unknown field is not looked at, nor is an unknown field's repetition. */
function typedComplaints(bytes: Uint8Array, read: ReadObject): string[] {
  const unknown = new Set(read.unknownFields);
  return complaintsOf(bytes, ({ path, isRepeated }) => {
    if (unknown.has(path)) return unknownField(path);
    return isRepeated && !isBelow(unknown, path) ? duplicateField(path) : undefined;
  });
}

/** Custom resources are read without a type first, which finds what stands twice; their schema finds the unknown afterwards. */
function customComplaints(bytes: Uint8Array, read: ReadObject): string[] {
  const repeated = complaintsOf(bytes, ({ path, isRepeated }) => (isRepeated ? duplicateField(path) : undefined));
  return [...repeated, ...[...read.unknownFields].sort().slice(0, maxStrictErrors).map(unknownField)];
}

/** What `complain` says of the text's members. Ends when more would not be told, and when the same is said without end. */
function complaintsOf(bytes: Uint8Array, complain: (member: JsonMember) => string | undefined): string[] {
  const complaints = new Set<string>();
  let left = maxComplaints;
  visitMembers(bytes, (member) => {
    const complaint = complain(member);
    if (complaint === undefined) return true;
    complaints.add(complaint);
    return --left > 0 && complaints.size < maxStrictErrors;
  });
  return [...complaints];
}

function isBelow(fields: ReadonlySet<string>, path: string): boolean {
  for (let at = path.length - 1; at > 0; at--) {
    if ((path[at] === "." || path[at] === "[") && fields.has(path.slice(0, at))) return true;
  }
  return false;
}

function unknownField(path: string): string {
  return `unknown field ${JSON.stringify(path)}`;
}

function duplicateField(path: string): string {
  return `duplicate field ${JSON.stringify(path)}`;
}

function withTypeMeta(value: unknown, expected: BodyOptions["expected"]): TypedValue {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const shown = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
    const target =
      'Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }';
    throw badRequest(`couldn't get version/kind; json parse error: json: cannot unmarshal ${shown} into ${target}`);
  }
  const object = value as Readonly<Record<string, unknown>>;
  const text = (key: "apiVersion" | "kind"): string => {
    const given = object[key] ?? "";
    if (typeof given === "string") return given === "" ? expected[key] : given;
    throw badRequest(
      `couldn't get version/kind; json parse error: json: cannot unmarshal ${typeof given} into Go struct field .${key} of type string`,
    );
  };
  return { value: object, apiVersion: text("apiVersion"), kind: text("kind") };
}

function schemaFor(typed: Omit<TypedValue, "value">, options: BodyOptions): StructSchema {
  const { group, version } = parseApiVersion(typed.apiVersion);
  const schema = options.findSchema(group, version, typed.kind);
  if (schema !== undefined) return schema;
  const what = `no kind ${JSON.stringify(typed.kind)} is registered for version ${JSON.stringify(typed.apiVersion)} in scheme`;
  throw cannotBeHandled(typed, options, `${what} "nodeless"`);
}

function decodeProtobuf(bytes: Uint8Array, options: BodyOptions): DecodedBody {
  const { apiVersion, kind, raw } = readEnvelope(bytes);
  const typed = { apiVersion: apiVersion || options.expected.apiVersion, kind: kind || options.expected.kind };
  const schema = schemaFor(typed, options);
  const object = handledAs(typed, options, () => options.protobuf.decode(schema, raw, typed));
  return { object, warnings: [] };
}

/** Puts apiVersion and kind in front, also where the body had none. */
function named(object: Record<string, unknown>, { apiVersion, kind }: TypedValue): Record<string, unknown> {
  return { kind, apiVersion, ...object, ...(object["kind"] === undefined ? {} : { kind, apiVersion }) };
}

function stepsFor(bytes: Uint8Array, { takeSteps }: BodyOptions): TakeSteps | undefined {
  return bytes.length > LARGE_BYTES ? takeSteps : undefined;
}

async function handledInSteps<T>(
  typed: Omit<TypedValue, "value">,
  options: BodyOptions,
  read: () => Promise<T>,
): Promise<T> {
  try {
    return await read();
  } catch (error) {
    return handledAs(typed, options, () => {
      throw error;
    });
  }
}

function handledAs<T>(typed: Omit<TypedValue, "value">, options: BodyOptions, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof StatusError) throw cannotBeHandled(typed, options, error.message);
    throw error;
  }
}

function cannotBeHandled(typed: Omit<TypedValue, "value">, options: BodyOptions, why: string): StatusError {
  const version = JSON.stringify(parseApiVersion(typed.apiVersion).version);
  return badRequest(`${typed.kind} in version ${version} cannot be handled as a ${options.expected.kind}: ${why}`);
}

async function unrecognizedUnless<T>(read: () => T | Promise<T>, bytes: Uint8Array, options: BodyOptions): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof StatusError) || error.code !== 400) throw error;
    const prefix = "couldn't get version/kind; json parse error: ";
    const isSyntax = options.mediaType === "application/json" && !error.message.startsWith(prefix);
    const why = isSyntax ? prefix + error.message : error.message;
    throw badRequest(
      `the object provided is unrecognized (must be of type ${options.expected.kind}): ${why} (${summary(bytes)})`,
    );
  }
}

/** The first bytes of a body that could not be read: text where it looks like JSON, else hexadecimal. */
function summary(bytes: Uint8Array): string {
  if (bytes.length === 0) return "<empty>";
  const head = Buffer.from(bytes.subarray(0, 30));
  const shown = head[0] === 0x7b ? head.toString("utf8") : head.toString("hex");
  return bytes.length > 30 ? `${shown} ...` : shown;
}

function unsupportedMediaType(mediaType: string): StatusError {
  const accepted = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
  return new StatusError({
    reason: "UnsupportedMediaType",
    code: 415,
    message: `the body of the request was in an unknown format - accepted media types include: ${accepted}`,
    details: { causes: [{ message: `unsupported media type ${mediaType}` }] },
  });
}
