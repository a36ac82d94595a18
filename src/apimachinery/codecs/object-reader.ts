/**
 * Reads parsed JSON into the form that Go would give back: unknown fields dropped (and reported), nulls and empty omitempty fields left out, structs without a pointer always
 * there, fields in the schema's order, quantities and times canonical. So the same object is stored whatever form it was sent in, and a write that changes nothing is
 * seen as one. Custom resources keep nulls and values of wrong types: their schema's validation judges those.
 */
import { deducedSchema } from "#apimachinery/deduced-schema.ts";
import { findLargeMap, keysOf, noteLargeMap } from "#apimachinery/large-map.ts";
import type { FieldSchema, MapSchema, ScalarSchema, Schema, StructSchema } from "#apimachinery/schema.ts";
import { badRequest } from "#apimachinery/status-error.ts";
import { type Absence, absenceOf, isOmittedValue, zeroOf } from "./go-json.ts";
import { goTypeOf, jsonTypeOf } from "./go-types.ts";
import { sortSteps } from "#apimachinery/sort-steps.ts";
import { getOwn, inOrder, setOwn } from "./own-key.ts";
import { isInteger, readQuantity, readText } from "./scalar-reader.ts";

type JsonObject = Readonly<Record<string, unknown>>;

/** What was read. `memberCount` counts the pairs of key and value in the given value, for finding duplicates (json-text.ts). */
export type ReadObject = {
  readonly object: Record<string, unknown>;
  /** Paths of fields that the schema does not have, in the order of the value: "spec.foo", "spec.containers[0].foo". */
  readonly unknownFields: readonly string[];
  readonly memberCount: number;
};

/** Whether members are counted: only who compares them with a text's needs that, and what managers own is half of an object. */
export type Counting = "counted" | "uncounted";

/** Reads a parsed object by its schema. Throws 400 with Go's words for values of a wrong type. The given value is not changed; parts of it may stand in the result. */
export function readObject(schema: StructSchema, value: unknown, counting: Counting = "counted"): ReadObject {
  const read = walkObject(schema, value, { isInTextOrder: false, counting });
  if (!(read instanceof Error)) return read;
  // Once more in the order of the text: which of several errors is told depends on it.
  throw walkObject(schema, value, { isInTextOrder: true, counting });
}

/** {@link readObject} in steps, for values with collections too large for one turn of the event loop. Unknown fields in large collections come last. */
export function* readObjectSteps(
  schema: StructSchema,
  value: unknown,
  counting: Counting = "counted",
): Generator<void, ReadObject> {
  const read = yield* walkSteps(schema, value, { isInTextOrder: false, counting });
  if (!(read instanceof Error)) return read;
  // Once more in the order of the text: which of several errors is told depends on it.
  throw yield* walkSteps(schema, value, { isInTextOrder: true, counting });
}

/** {@link walkObject} in steps. */
function* walkSteps(schema: StructSchema, value: unknown, how: How): Generator<void, ReadObject | Error> {
  const walk = new Walk(how, []);
  try {
    const object = walk.struct(schema, value);
    for (const steps of walk.later ?? []) yield* steps;
    return walk.typeError ?? { object, unknownFields: walk.unknownFields, memberCount: walk.memberCount };
  } catch (error) {
    return error as Error;
  }
}

/** Gives the error instead of throwing it. */
function walkObject(schema: StructSchema, value: unknown, how: How): ReadObject | Error {
  const walk = new Walk(how);
  try {
    const object = walk.struct(schema, value);
    return walk.typeError ?? { object, unknownFields: walk.unknownFields, memberCount: walk.memberCount };
  } catch (error) {
    return error as Error;
  }
}

/** Larger collections are read in steps of {@link STEP} entries, where steps are asked for. */
const LARGE = 2000;
const STEP = 50;

/** So many unknown fields are named; a body of nothing else has a quarter of a million. */
const maxUnknown = 1000;

/** A list or map that is read later. */
type Collection<T> = {
  readonly value: T;
  readonly schema: Schema;
  readonly isCustom: boolean;
  readonly resume: () => void;
};

type How = { readonly isInTextOrder: boolean; readonly counting: Counting };

class Walk {
  /** The first value of a wrong type. Go goes on reading then: a text that its type's own parser refuses counts for more. */
  typeError: Error | undefined;
  readonly #isInTextOrder: boolean;
  readonly #isCounted: boolean;
  readonly unknownFields: string[] = [];
  memberCount = 0;
  /** Path elements with their separators, as unknown fields are reported: ".spec", "[0]". */
  readonly #path: string[] = [];
  /** Struct and field names only, as type errors are reported. */
  readonly #fields: string[] = [];
  #structName = "";
  /** How many entries the list or map has that was read last; they may not be in it yet, and a map of 90,000 takes 20 ms to count them. */
  #size = 0;
  /** What is left to do of large collections; undefined: everything is done at once. */
  readonly later: Iterable<void>[] | undefined;

  constructor({ isInTextOrder, counting }: How, later?: Iterable<void>[]) {
    this.#isInTextOrder = isInTextOrder;
    this.#isCounted = counting === "counted";
    this.later = later;
  }

  struct(schema: StructSchema, value: unknown): Record<string, unknown> {
    const isCustom = schema.name === "";
    if (!isObject(value)) {
      if (isCustom) return value as Record<string, unknown>;
      return this.#wrongType(value, goTypeOf(schema), {});
    }
    const outerName = this.#structName;
    this.#structName = schema.name;
    const object = isCustom ? this.#customFields(schema, value) : this.#goFields(schema, value);
    this.#noteUnknown(schema, value, object);
    this.#structName = outerName;
    return object;
  }

  #goFields(schema: StructSchema, value: JsonObject): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    for (const field of this.#isInTextOrder ? inTextOrder(schema, value) : schema.fields.values()) {
      const given = value[field.name];
      if (given === undefined || given === null) {
        showAbsent(field, object);
        continue;
      }
      this.#path.push(`.${field.name}`);
      this.#fields.push(field.inlinedFrom === undefined ? field.name : `${field.inlinedFrom}.${field.name}`);
      const read = this.#value(field.schema, given);
      this.#path.pop();
      this.#fields.pop();
      if (!isOmittedValue(field, read, this.#size)) object[field.name] = read;
    }
    return object;
  }

  #customFields(schema: StructSchema, value: JsonObject): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    for (const key of Object.keys(value)) {
      const field = schema.fields.get(key);
      if (field === undefined) continue;
      this.#path.push(`.${key}`);
      this.#fields.push(key);
      const given = getOwn(value, key);
      setOwn(object, key, given === null ? null : this.#value(field.schema, given, true));
      this.#path.pop();
      this.#fields.pop();
    }
    return object;
  }

  /** Counts members, reports those that the schema does not have, or keeps them where it says so. */
  #noteUnknown(schema: StructSchema, value: JsonObject, object: Record<string, unknown>): void {
    const keys = keysOf(value);
    if (this.later !== undefined && keys.length > LARGE) {
      this.later.push(this.#unknownSteps(schema, { value, object, keys, resume: this.#place() }));
      return;
    }
    this.memberCount += keys.length;
    for (const key of keys) if (!schema.fields.has(key)) this.#noteKey(schema, key, { value, object });
  }

  *#unknownSteps(
    schema: StructSchema,
    of: {
      readonly value: JsonObject;
      readonly object: Record<string, unknown>;
      readonly keys: readonly string[];
      readonly resume: () => void;
    },
  ): Iterable<void> {
    of.resume();
    this.memberCount += of.keys.length;
    for (let index = 0; index < of.keys.length; index++) {
      const key = of.keys[index] as string;
      if (!schema.fields.has(key)) this.#noteKey(schema, key, of);
      if (index % STEP === 0) yield;
    }
  }

  #noteKey(
    schema: StructSchema,
    key: string,
    of: { readonly value: JsonObject; readonly object: Record<string, unknown> },
  ): void {
    const unknown = getOwn(of.value, key);
    if (this.#isCounted) this.memberCount += countMembers(unknown);
    if (schema.preservesUnknownFields) setOwn(of.object, key, unknown);
    else if (this.unknownFields.length < maxUnknown)
      this.unknownFields.push([...this.#path, `.${key}`].join("").slice(1));
  }

  #value(schema: Schema, value: unknown, isCustom = false): unknown {
    if (schema === deducedSchema) {
      this.#size = Object.keys(value as object).length;
      return this.#any(value);
    }
    switch (schema.kind) {
      case "struct":
        return this.struct(schema, value);
      case "list":
        return this.#list(schema, value, isCustom);
      case "map":
        return this.#map(schema, value, isCustom);
      case "scalar":
        return isCustom ? this.#any(value) : this.#scalar(schema, value);
    }
  }

  #list(schema: Schema & { readonly kind: "list" }, value: unknown, isCustom: boolean): unknown {
    if (!Array.isArray(value)) {
      if (isCustom) return this.#any(value);
      this.#size = 0;
      return this.#wrongType(value, goTypeOf(schema), []);
    }
    const read: unknown[] = [];
    const { length } = value;
    if (this.later !== undefined && length > LARGE) {
      this.later.push(this.#itemSteps(read, { value, schema: schema.items, isCustom, resume: this.#place() }));
      this.#size = length;
      return read;
    }
    for (let index = 0; index < value.length; index++) {
      this.#path.push(`[${index}]`);
      read.push(this.#item(schema.items, value[index], isCustom));
      this.#path.pop();
    }
    this.#size = length;
    return read;
  }

  #map(schema: MapSchema, value: unknown, isCustom: boolean): unknown {
    if (!isObject(value)) {
      if (isCustom) return this.#any(value);
      this.#size = 0;
      return this.#wrongType(value, goTypeOf(schema), {});
    }
    const read: Record<string, unknown> = {};
    const known = findLargeMap(value)?.keys;
    const given = known === undefined ? Object.keys(value) : [...known];
    this.memberCount += given.length;
    if (this.later !== undefined && given.length > LARGE) {
      this.later.push(this.#keySteps(read, given, { value, schema: schema.values, isCustom, resume: this.#place() }));
      this.#size = given.length;
      return read;
    }
    for (const key of isCustom ? given : inOrder(given)) {
      this.#path.push(`.${key}`);
      setOwn(read, key, this.#item(schema.values, getOwn(value, key), isCustom));
      this.#path.pop();
    }
    this.#size = given.length;
    return read;
  }

  *#itemSteps(read: unknown[], list: Collection<readonly unknown[]>): Iterable<void> {
    list.resume();
    for (let index = 0; index < list.value.length; index++) {
      this.#path.push(`[${index}]`);
      read.push(this.#item(list.schema, list.value[index], list.isCustom));
      this.#path.pop();
      if (index % STEP === 0) yield;
    }
  }

  *#keySteps(read: Record<string, unknown>, keys: string[], map: Collection<JsonObject>): Iterable<void> {
    if (!map.isCustom) yield* sortSteps(keys, (key) => key);
    map.resume();
    let characters = 0;
    for (let index = 0; index < keys.length; index++) {
      const key = keys[index] as string;
      this.#path.push(`.${key}`);
      const item = this.#item(map.schema, getOwn(map.value, key), map.isCustom);
      setOwn(read, key, item);
      if (typeof item === "string") characters += item.length;
      this.#path.pop();
      if (index % STEP === 0) yield;
    }
    noteLargeMap(read, { keys, characters });
  }

  /** Comes back to where the walk is now. */
  #place(): () => void {
    const path = [...this.#path];
    const fields = [...this.#fields];
    const structName = this.#structName;
    return () => {
      this.#path.splice(0, Infinity, ...path);
      this.#fields.splice(0, Infinity, ...fields);
      this.#structName = structName;
    };
  }

  /** null in a list or map is the zero of its type; only bytes have nil. */
  #item(schema: Schema, value: unknown, isCustom: boolean): unknown {
    if (value !== null) return this.#value(schema, value, isCustom);
    if (isCustom || (schema.kind === "scalar" && schema.type === "bytes")) return null;
    return schema.kind === "struct" ? this.struct(schema, {}) : zeroOf(schema);
  }

  #any(value: unknown): unknown {
    if (this.#isCounted) this.memberCount += countMembers(value);
    return value;
  }

  #scalar(schema: ScalarSchema, value: unknown): unknown {
    switch (schema.type) {
      case "string":
        return typeof value === "string" ? value : this.#wrongType(value, goTypeOf(schema), "");
      case "boolean":
        return typeof value === "boolean" ? value : this.#wrongType(value, goTypeOf(schema), false);
      case "double":
        return typeof value === "number" ? value : this.#wrongType(value, goTypeOf(schema), 0);
      case "int32":
      case "int64":
        return isInteger(value, schema.type) ? value : this.#wrongType(value, goTypeOf(schema), 0);
      case "bytes":
        return typeof value === "string" ? this.#base64(value) : this.#wrongType(value, "[]uint8", "");
      case "any":
        return schema.union === undefined ? this.#any(value) : this.#union(schema.union, value);
      case "quantity":
        return readQuantity(value);
      case "intOrString":
        if (typeof value === "string" || isInteger(value, "int32")) return value;
        throw this.#typeErrorOf(value, "int32");
      default:
        if (typeof value === "string") return readText(schema.type, value);
        throw this.#typeErrorOf(value, "string");
    }
  }

  #base64(text: string): string {
    const compact = text.replace(/[\r\n]/g, "");
    const wrong = /[^A-Za-z0-9+/]/.exec(compact.replace(/={1,2}$/, ""))?.index;
    const at = wrong ?? (compact.length % 4 === 0 ? undefined : compact.length - (compact.length % 4));
    if (at !== undefined) this.typeError ??= badRequest(`illegal base64 data at input byte ${at}`);
    return compact;
  }

  /** CustomResourceDefinitions' schemas below items, additionalProperties and dependencies. Upstream reports no unknown fields in these. */
  #union({ struct }: NonNullable<ScalarSchema["union"]>, value: unknown): unknown {
    const reported = this.unknownFields.length;
    const read = Array.isArray(value)
      ? value.map((each) => (isObject(each) ? this.struct(struct, each) : each))
      : isObject(value)
        ? this.struct(struct, value)
        : value;
    this.unknownFields.length = reported;
    return read;
  }

  #wrongType<T>(value: unknown, goType: string, instead: T): T {
    this.typeError ??= this.#typeErrorOf(value, goType);
    return instead;
  }

  #typeErrorOf(value: unknown, goType: string): Error {
    const struct = this.#structName.slice(this.#structName.lastIndexOf(".") + 1);
    const where = this.#fields.length === 0 ? "Go value" : `Go struct field ${struct}.${this.#fields.join(".")}`;
    const isNumberForNumber = typeof value === "number" && /^(int|float)/.test(goType);
    const shown = isNumberForNumber ? `number ${value}` : jsonTypeOf(value);
    return badRequest(`json: cannot unmarshal ${shown} into ${where} of type ${goType}`);
  }
}

function* inTextOrder(schema: StructSchema, value: JsonObject): Iterable<FieldSchema> {
  for (const key of Object.keys(value)) {
    const field = schema.fields.get(key);
    if (field !== undefined) yield field;
  }
}

function showAbsent(field: FieldSchema, object: Record<string, unknown>): void {
  const absence: Absence = absenceOf(field);
  if (absence.shown === "value") object[field.name] = absence.value;
  else if (absence.shown === "empty-struct") object[field.name] = emptyStruct(field.schema as StructSchema);
}

function emptyStruct(schema: StructSchema): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (const field of schema.fields.values()) showAbsent(field, object);
  return object;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function countMembers(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + countMembers(item), 0);
  const values = Object.values(value);
  return values.reduce<number>((sum, item) => sum + countMembers(item), values.length);
}
