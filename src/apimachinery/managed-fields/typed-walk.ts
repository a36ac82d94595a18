/**
 * How a value is walked under its schema, the same for comparing, merging, removing and listing fields: where it is a leaf, what its
 * children's schemas are. Semantics of structured-merge-diff's typed package.
 */
import { isJsonArray, isJsonObject, type JsonObject } from "#apimachinery/json.ts";
import { deducedSchema } from "#apimachinery/deduced-schema.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { FieldSchema, ListSchema, MapSchema, ScalarType, Schema, StructSchema } from "#apimachinery/schema.ts";
import { fieldElement, itemElement } from "./path-element.ts";

/** Schema of an object's child, and whether it is a declared field (and no free key). */
export function childSchema(schema: StructSchema | MapSchema, key: string): Schema {
  if (schema.kind === "map") return schema.values;
  return schema.fields.get(key)?.schema ?? deducedSchema;
}

/** The path element of an object's child. */
export function childElement(schema: Schema, key: string): string {
  return (schema.kind === "struct" ? schema.fields.get(key)?.element : undefined) ?? fieldElement(key);
}

/** True when `schema` is walked into for this value; otherwise the value is a leaf. */
export function isGranularObject(schema: Schema, value: Json | undefined): schema is StructSchema | MapSchema {
  if (schema.kind !== "struct" && schema.kind !== "map") return false;
  return schema.mapType === "granular" && (value === undefined || value === null || isJsonObject(value));
}

/** True when `schema` is a list whose items are owned one by one. */
export function isGranularList(schema: Schema, value: Json | undefined): schema is ListSchema {
  if (schema.kind !== "list" || schema.listType === "atomic") return false;
  return value === undefined || value === null || isJsonArray(value);
}

/** The value as an object; absent, null and other values are empty ones. */
export function objectOf(value: Json | undefined): JsonObject {
  return isJsonObject(value) ? value : emptyObject;
}

/** The value as a list; absent, null and other values are empty ones. */
export function listOf(value: Json | undefined): readonly Json[] {
  return isJsonArray(value) ? value : emptyList;
}

/** True for absent, null, {} and []. */
export function isEmptyValue(value: Json | undefined): boolean {
  if (value === undefined || value === null) return true;
  if (typeof value !== "object") return false;
  if (isJsonArray(value)) return value.length === 0;
  for (const _ in value) return false;
  return true;
}

/**
 * What Go writes for a field that is absent: upstream compares objects in that form, so a Deployment's `strategy` is there even before anybody
 * sets a part of it, and nobody comes to own it as a whole. Undefined for fields that are left out when empty.
 */
export function zeroOf(schema: StructSchema | MapSchema, key: string): Json | undefined {
  return schema.kind === "struct" ? zeroOfField(schema.fields.get(key)) : undefined;
}

/** {@link zeroOf} of a field that is at hand. */
export function zeroOfField(field: FieldSchema | undefined): Json | undefined {
  if (field === undefined || field.isPointer) return undefined;
  if (field.schema.kind === "struct") return field.omitZero ? undefined : emptyObject;
  if (field.omitEmpty) return undefined;
  return field.schema.kind === "scalar" ? zeroScalars[field.schema.type] : null;
}

const zeroScalars: Readonly<Record<ScalarType, Json>> = {
  string: "",
  boolean: false,
  int32: 0,
  int64: 0,
  double: 0,
  bytes: null,
  time: null,
  microTime: null,
  duration: "0s",
  quantity: "0",
  intOrString: 0,
  any: null,
};

/** A list's items by path element, in order of first appearance; duplicates stand together. Items that have no element are left out. */
export function indexItems(list: ListSchema, items: readonly Json[]): ReadonlyMap<string, readonly Json[]> {
  const index = new Map<string, Json[]>();
  for (const item of items) {
    const element = itemElement(list, item);
    if (element === undefined) continue;
    const known = index.get(element);
    if (known === undefined) index.set(element, [item]);
    else known.push(item);
  }
  return index;
}

const emptyObject: JsonObject = Object.freeze({});
const emptyList: readonly Json[] = Object.freeze([]);
