/**
 * The fields that a new object sets: what comparing it with nothing gives (typed-compare.ts), but in one walk and in the order in which they are stored. Half of what it costs to
 * make a pod was to compare it with an empty one and to sort what came out.
 */
import { sortedKeys } from "#apimachinery/codecs/own-key.ts";
import { deducedSchema } from "#apimachinery/deduced-schema.ts";
import { isJsonArray, type JsonObject, jsonEqual } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { FieldSchema, ListSchema, MapSchema, Schema, StructSchema } from "#apimachinery/schema.ts";
import { serverMetadata } from "./typed-compare.ts";
import { type FieldSet, type FieldSetDraft, leaf } from "./field-set.ts";
import { fillFromList, fillFromMap, LARGE, type Later } from "./large-collections.ts";
import { fieldElement } from "./path-element.ts";
import {
  indexItems,
  isEmptyValue,
  isGranularList,
  isGranularObject,
  listOf,
  objectOf,
  zeroOfField,
} from "./typed-walk.ts";

/** All fields of a new object that its maker comes to own, elements in upstream's order. With `later` the set may lack what is put into it there. */
export function createdFields(object: JsonObject, schema: StructSchema, later?: Later): FieldSet {
  const set: FieldSetDraft = {};
  eachField(object, schema, (key, field) => {
    if (key === "apiVersion" || key === "kind") return;
    const zero = zeroOfField(field);
    const value = object[key] ?? zero;
    const below = field?.schema ?? deducedSchema;
    const node = key === "metadata" ? createdMetadata(value, below, later) : created(zero, value, below, later);
    if (node !== undefined) set[field?.element ?? fieldElement(key)] = node;
  });
  return set;
}

function createdMetadata(metadata: Json | undefined, schema: Schema, later: Later | undefined): FieldSet | undefined {
  if (schema.kind === "list" || schema.kind === "scalar") return created(undefined, metadata, schema, later);
  let set: FieldSetDraft | undefined;
  const object = objectOf(metadata);
  eachField(object, schema, (key, field) => {
    if (serverMetadata.has(key)) return;
    const node = created(undefined, object[key], schemaBelow(schema, field), later);
    if (node !== undefined) (set ??= {})[field?.element ?? fieldElement(key)] = node;
  });
  return set;
}

/** `zero` is what stands there before anybody sets it; undefined stands for "nothing". Undefined: no field is set. */
function created(
  zero: Json | undefined,
  value: Json | undefined,
  schema: Schema,
  later: Later | undefined,
): FieldSet | undefined {
  if (zero === value) return undefined;
  if (schema.kind === "scalar") return createdLeaf(zero, value);
  if (later !== undefined && zero === undefined) {
    const set = largeCollection(value, schema, later);
    if (set !== undefined) return set;
  }
  if (isEmptyValue(zero) && isEmptyValue(value)) return createdLeaf(zero, value);
  if (isGranularObject(schema, zero) && isGranularObject(schema, value))
    return createdObject(zero, value, schema, later);
  if (isGranularList(schema, zero) && isGranularList(schema, value)) return createdList(zero, value, schema, later);
  return createdLeaf(zero, value);
}

/** The set of a collection too large for one turn, still without its entries. */
function largeCollection(value: Json | undefined, schema: Schema, later: Later): FieldSet | undefined {
  const nodeOf = (item: Json, below: Schema): FieldSet | undefined => created(undefined, item, below, later);
  if (isJsonArray(value) && value.length > LARGE && isGranularList(schema, value)) {
    const set: FieldSetDraft = { ".": leaf };
    later.push(fillFromList(set, { items: value, schema }, (item) => nodeOf(item, schema.items)));
    return set;
  }
  if (schema.kind !== "map" || !isGranularObject(schema, value) || Object.keys(objectOf(value)).length <= LARGE)
    return undefined;
  const set: FieldSetDraft = { ".": leaf };
  later.push(fillFromMap(set, objectOf(value), (item) => nodeOf(item, schema.values)));
  return set;
}

function createdLeaf(zero: Json | undefined, value: Json | undefined): FieldSet | undefined {
  return zero === undefined || !jsonEqual(zero, value) ? leaf : undefined;
}

function createdObject(
  zero: Json | undefined,
  value: Json | undefined,
  schema: StructSchema | MapSchema,
  later: Later | undefined,
): FieldSet | undefined {
  const object = objectOf(value);
  let set: FieldSetDraft | undefined;
  eachField(object, schema, (key, field) => {
    const zeroBelow = zeroOfField(field);
    const below = object[key] ?? zeroBelow;
    const node = created(zero === undefined ? undefined : zeroBelow, below, schemaBelow(schema, field), later);
    if (node !== undefined) (set ??= newSet(zero))[field?.element ?? fieldElement(key)] = node;
  });
  return set ?? (zero === undefined ? leaf : undefined);
}

function createdList(
  zero: Json | undefined,
  value: Json | undefined,
  schema: ListSchema,
  later: Later | undefined,
): FieldSet | undefined {
  let set: FieldSetDraft | undefined;
  const items = [...indexItems(schema, listOf(value))];
  if (items.length > 1) items.sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [element, same] of items) {
    const node = same.length > 1 ? leaf : created(undefined, same[0], schema.items, later);
    if (node !== undefined) (set ??= newSet(zero))[element] = node;
  }
  return set ?? (zero === undefined ? leaf : undefined);
}

/** An object or list that was not there before is itself a member, besides what is in it. */
function newSet(zero: Json | undefined): FieldSetDraft {
  return zero === undefined ? { ".": leaf } : {};
}

type Visit = (key: string, field: FieldSchema | undefined) => void;

/** Visits the object's keys in order. A struct's fields are sorted once; free keys, and objects with a key that their struct does not declare, each time. */
function eachField(object: JsonObject, schema: StructSchema | MapSchema, visit: Visit): void {
  const fields = schema.kind === "struct" ? schema.sortedFields : undefined;
  if (fields !== undefined && isDeclared(object, schema as StructSchema)) {
    for (const field of fields) if (object[field.name] !== undefined) visit(field.name, field);
    return;
  }
  for (const key of sortedKeys(object)) visit(key, schema.kind === "struct" ? schema.fields.get(key) : undefined);
}

function isDeclared(object: JsonObject, { fields }: StructSchema): boolean {
  for (const key in object) if (!fields.has(key)) return false;
  return true;
}

function schemaBelow(schema: StructSchema | MapSchema, field: FieldSchema | undefined): Schema {
  return schema.kind === "map" ? schema.values : (field?.schema ?? deducedSchema);
}
