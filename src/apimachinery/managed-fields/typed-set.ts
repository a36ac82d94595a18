/**
 * All fields that an object sets, as a field set. Semantics of structured-merge-diff's ToFieldSet: leaves, list items, free keys, empty objects.
 */
import { isJsonObject, type JsonObject } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { ListSchema, MapSchema, Schema, StructSchema } from "#apimachinery/schema.ts";
import { type FieldSet, type FieldSetDraft, isEmptySet, leaf } from "./field-set.ts";
import {
  childElement,
  childSchema,
  indexItems,
  isEmptyValue,
  isGranularList,
  isGranularObject,
  listOf,
  objectOf,
} from "./typed-walk.ts";

/** The set of all fields of `object`. */
export function fieldSetOf(object: JsonObject, schema: StructSchema): FieldSet {
  return fieldsOf(object, schema);
}

/** Undefined: nothing here is a member. */
function setOf(value: Json, schema: Schema): FieldSet | undefined {
  if (isGranularObject(schema, value)) return orNothing(fieldsOf(objectOf(value), schema));
  if (isGranularList(schema, value)) return orNothing(itemsOf(listOf(value), schema));
  return leaf;
}

function fieldsOf(object: JsonObject, schema: StructSchema | MapSchema): FieldSet {
  const draft: FieldSetDraft = {};
  for (const key in object) {
    const value = object[key] as Json;
    const below = setOf(value, childSchema(schema, key));
    const isDeclared = schema.kind === "struct" && schema.fields.has(key);
    const isItself = !isDeclared || value === null || (isJsonObject(value) && isEmptyValue(value));
    const node = isItself ? withSelf(below) : below;
    if (node !== undefined) draft[childElement(schema, key)] = node;
  }
  return draft;
}

function itemsOf(items: readonly Json[], schema: ListSchema): FieldSet {
  const draft: FieldSetDraft = {};
  for (const [element, values] of indexItems(schema, items)) {
    draft[element] = values.length > 1 ? leaf : withSelf(setOf(values[0] as Json, schema.items));
  }
  return draft;
}

function withSelf(below: FieldSet | undefined): FieldSet {
  if (below === undefined || isEmptySet(below)) return leaf;
  return below["."] === undefined ? { ".": leaf, ...below } : below;
}

function orNothing(set: FieldSet): FieldSet | undefined {
  return isEmptySet(set) ? undefined : set;
}
