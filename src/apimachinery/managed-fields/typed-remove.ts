/**
 * Takes fields out of an object: every member of a field set, and what becomes empty by it. Semantics of structured-merge-diff's RemoveItems.
 */
import { type JsonDraft, type JsonObject, setOwn } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { ListSchema, MapSchema, Schema, StructSchema } from "#apimachinery/schema.ts";
import { type FieldSet, isEmptySet, isMember } from "./field-set.ts";
import { fieldElement, itemElement } from "./path-element.ts";
import { childSchema, isGranularList, isGranularObject, listOf, objectOf } from "./typed-walk.ts";

/** The object without the members of `fields`. */
export function removeFields(object: JsonObject, fields: FieldSet, schema: StructSchema): JsonObject {
  return (removeFrom(object, fields, schema) ?? {}) as JsonObject;
}

/** Undefined when nothing is left. */
function removeFrom(value: Json, fields: FieldSet, schema: Schema): Json | undefined {
  if (isGranularObject(schema, value)) return removeKeys(objectOf(value), fields, schema);
  if (isGranularList(schema, value)) return removeItems(listOf(value), fields, schema);
  // Below an atomic list or object nobody owns anything; with fields there it goes as a whole.
  return typeof value === "object" ? undefined : value;
}

function removeKeys(object: JsonObject, fields: FieldSet, schema: StructSchema | MapSchema): Json | undefined {
  const kept: JsonDraft = {};
  for (const key in object) {
    const value = object[key] as Json;
    const node = fields[fieldElement(key)];
    if (node === undefined) {
      setOwn(kept, key, value);
      continue;
    }
    if (isMember(node)) continue;
    const rest = removeFrom(value, node, childSchema(schema, key));
    // Upstream keeps the key with null; decoding drops it.
    if (rest !== undefined) setOwn(kept, key, rest);
  }
  return isEmptySet(kept as FieldSet) ? undefined : kept;
}

function removeItems(items: readonly Json[], fields: FieldSet, schema: ListSchema): Json | undefined {
  const kept: Json[] = [];
  for (const item of items) {
    const element = itemElement(schema, item);
    const node = element === undefined ? undefined : fields[element];
    if (node === undefined) kept.push(item);
    else if (!isMember(node)) kept.push(removeFrom(item, node, schema.items) ?? null);
  }
  return kept.length === 0 ? undefined : kept;
}
