/**
 * What is known of the types of an expression before it runs, from schemas of custom resources above all.
 */
import { additionalOf, itemsOf, type JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import type { ResultType } from "./functions.ts";
import { unescapeField } from "./json-values.ts";

/** A type. `size` bounds lengths of strings, lists and maps. */
export type StaticType = {
  readonly kind: ResultType | "null" | "map" | "object";
  readonly size?: number;
  /** Of lists and maps. */
  readonly item?: StaticType;
  /** The field of an object by its name in expressions; undefined when there is none. */
  readonly field?: (name: string) => StaticType | undefined;
};

export const DYN: StaticType = { kind: "dyn" };

const MAX_REQUEST_BYTES = 3 * 1024 * 1024;

/** An object with these fields. */
export function objectType(fields: Readonly<Record<string, StaticType>>): StaticType {
  return { kind: "object", field: (name) => (Object.hasOwn(fields, name) ? fields[name] : undefined) };
}

/** The type of a value under a schema; undefined when expressions cannot speak of it. */
export function typeOfSchema(schema: JsonSchemaProps): StaticType | undefined {
  if (schema["x-kubernetes-int-or-string"]) return DYN;
  if (schema["x-kubernetes-preserve-unknown-fields"] && schema.properties === undefined) return DYN;
  if (schema["x-kubernetes-embedded-resource"]) return objectWithMeta(schema);
  if (schema.type === "array") return listType(schema);
  if (schema.type === "object") return additionalOf(schema) === undefined ? schemaObject(schema) : mapType(schema);
  if (schema.type === "string") return stringType(schema);
  if (schema.type === "boolean") return { kind: "bool" };
  if (schema.type === "integer") return { kind: "int" };
  return schema.type === "number" ? { kind: "double" } : undefined;
}

/** A whole object of the API: its own fields, its type and as much of its metadata as rules may see. */
export function objectWithMeta(schema: JsonSchemaProps): StaticType {
  const own = schemaObject(schema);
  const meta: Readonly<Record<string, StaticType>> = {
    apiVersion: { kind: "string", size: 253 },
    kind: { kind: "string", size: 63 },
    metadata: objectType({ name: { kind: "string", size: 253 }, generateName: { kind: "string", size: 253 } }),
  };
  return { kind: "object", field: (name) => (Object.hasOwn(meta, name) ? meta[name] : own.field?.(name)) };
}

function schemaObject({ properties }: JsonSchemaProps): StaticType {
  return {
    kind: "object",
    field: (name) => {
      const key = unescapeField(name);
      if (properties === undefined || !Object.hasOwn(properties, key)) return undefined;
      return typeOfSchema(properties[key] as JsonSchemaProps);
    },
  };
}

function listType(schema: JsonSchemaProps): StaticType | undefined {
  const items = itemsOf(schema);
  const item = items === undefined ? undefined : typeOfSchema(items);
  if (items === undefined || item === undefined) return undefined;
  return { kind: "list", item, size: schema.maxItems ?? Math.floor(MAX_REQUEST_BYTES / (leastBytes(items) + 1)) };
}

function mapType(schema: JsonSchemaProps): StaticType | undefined {
  const values = additionalOf(schema) as JsonSchemaProps;
  const item = typeOfSchema(values);
  if (item === undefined) return undefined;
  // A key, a colon and a comma stand with each value.
  return { kind: "map", item, size: schema.maxProperties ?? Math.floor(MAX_REQUEST_BYTES / (leastBytes(values) + 4)) };
}

function stringType({ format, maxLength, enum: choices }: JsonSchemaProps): StaticType {
  if (format === "byte") return { kind: "bytes", size: maxLength ?? MAX_REQUEST_BYTES };
  if (format === "duration") return { kind: "duration" };
  if (format === "date" || format === "date-time") return { kind: "timestamp" };
  const longest = choices?.reduce<number>((most, choice) => Math.max(most, String(choice).length), 0);
  return { kind: "string", size: maxLength ?? longest ?? MAX_REQUEST_BYTES };
}

/** How few bytes a value can take in a request. */
export function leastBytes(schema: JsonSchemaProps): number {
  if (schema.type === "boolean") return 4;
  if (schema.type === "integer" || schema.type === "number" || schema["x-kubernetes-int-or-string"]) return 1;
  if (schema.type !== "object" || schema.properties === undefined) return 2;
  const required = (schema.required ?? []).filter((name) => Object.hasOwn(schema.properties ?? {}, name));
  return required.reduce((sum, name) => {
    const property = (schema.properties as Readonly<Record<string, JsonSchemaProps>>)[name] as JsonSchemaProps;
    return sum + name.length + 4 + (property.default === undefined ? leastBytes(property) : 0);
  }, 2);
}

/** A type as errors name it. */
export function describeType({ kind, item }: StaticType): string {
  if (kind === "list") return `list(${item === undefined ? "dyn" : describeType(item)})`;
  if (kind === "map") return `map(string, ${item === undefined ? "dyn" : describeType(item)})`;
  return kind;
}
