/**
 * JSON as values of CEL, by the schema of a custom resource where there is one: an integer is an int, a date-time a timestamp. Objects turn into values
 * only where an expression looks.
 */
import { isJsonArray, isJsonObject, type JsonObject } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import { itemsOf, type JsonSchemaProps, propertyOf } from "#apimachinery/structural-schema/json-schema-props.ts";
import { Duration, type CelList, type CelMap, type CelValue, type ListType, Timestamp } from "./values.ts";
import { parseDuration, parseTimestamp } from "./times.ts";

/** Words of CEL that are escaped where they name a field. */
const KEYWORDS = new Set(
  "true false null in as break const continue else for function if import let loop package namespace return".split(" "),
);

/** The value under its schema; without one, of the type that the JSON shows. */
export function fromJson(value: Json, schema?: JsonSchemaProps): CelValue {
  if (typeof value === "string") return fromString(value, schema);
  if (typeof value === "number") return fromNumber(value, schema);
  if (isJsonArray(value)) return fromList(value, schema);
  if (isJsonObject(value)) return new JsonMap(value, schema);
  return value as null | boolean;
}

function fromNumber(value: number, schema: JsonSchemaProps | undefined): CelValue {
  return schema?.type === "number" || !Number.isInteger(value) ? value : BigInt(value);
}

function fromString(value: string, schema: JsonSchemaProps | undefined): CelValue {
  if (schema?.type !== "string" || schema.format === undefined) return value;
  if (schema.format === "byte") return Buffer.from(value, "base64");
  if (schema.format === "duration") {
    const nanos = parseDuration(value);
    return nanos === undefined ? value : new Duration(nanos);
  }
  if (schema.format === "date-time" || schema.format === "date") {
    const nanos = parseTimestamp(schema.format === "date" ? `${value}T00:00:00Z` : value);
    return nanos === undefined ? value : new Timestamp(nanos);
  }
  return value;
}

function fromList(list: readonly Json[], schema: JsonSchemaProps | undefined): CelList {
  const items = schema === undefined ? undefined : itemsOf(schema);
  const values = list.map((item) => fromJson(item, items));
  const listType = schema === undefined ? undefined : listTypeOf(schema);
  return listType === undefined ? values : Object.assign(values, { listType });
}

function listTypeOf(schema: JsonSchemaProps): ListType | undefined {
  if (schema["x-kubernetes-list-type"] === "set") return { keys: [] };
  if (schema["x-kubernetes-list-type"] !== "map") return undefined;
  return { keys: schema["x-kubernetes-list-map-keys"] ?? [] };
}

/** An object of JSON. */
export class JsonMap implements CelMap {
  readonly isMap = true;
  readonly #object: JsonObject;
  readonly #schema: JsonSchemaProps | undefined;
  readonly #values = new Map<string, CelValue>();

  constructor(object: JsonObject, schema: JsonSchemaProps | undefined) {
    this.#object = object;
    this.#schema = schema;
  }

  get size(): number {
    return Object.keys(this.#object).length;
  }

  get(key: CelValue): CelValue | undefined {
    if (typeof key !== "string" || !Object.hasOwn(this.#object, key)) return undefined;
    const known = this.#values.get(key);
    if (known !== undefined) return known;
    const schema = this.#schema === undefined ? undefined : propertyOf(this.#schema, key);
    const value = fromJson(this.#object[key] as Json, schema);
    this.#values.set(key, value);
    return value;
  }

  keys(): readonly CelValue[] {
    return Object.keys(this.#object);
  }

  field(name: string): CelValue | undefined {
    return this.get(this.#schema?.properties === undefined ? name : unescapeField(name));
  }
}

const ESCAPES: Readonly<Record<string, string>> = { underscores: "__", dot: ".", dash: "-", slash: "/" };

/** The name of a field that CEL could not name as it is: `a__dash__b` is a-b, `__if__` is if. */
export function unescapeField(name: string): string {
  if (!name.includes("__")) return name;
  const keyword = /^__(\w+)__$/.exec(name)?.[1];
  if (keyword !== undefined && KEYWORDS.has(keyword)) return keyword;
  return name.replace(/__(underscores|dot|dash|slash)__/g, (_, escape: string) => ESCAPES[escape] as string);
}

/** Undefined for a name that no expression can speak of. */
export function escapeField(name: string): string | undefined {
  if (KEYWORDS.has(name)) return `__${name}__`;
  const escaped = name
    .replaceAll("__", "__underscores__")
    .replaceAll(".", "__dot__")
    .replaceAll("-", "__dash__")
    .replaceAll("/", "__slash__");
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(escaped) ? escaped : undefined;
}
