/**
 * Defaults of custom resources. A field that is absent, or null where null is not allowed, gets its default; nulls that are not
 * allowed and have no default go. As apiextensions-apiserver's schema/defaulting.
 */
import { isJsonArray, isJsonObject, type JsonDraft, type JsonObject, ownValue, setOwn } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import { itemsOf, type JsonSchemaProps, propertyOf } from "./json-schema-props.ts";

/** The object with its defaults; the same object when there is nothing to fill in. */
export function withDefaults(object: JsonObject, schema: JsonSchemaProps): JsonObject {
  return defaulted(object, schema) as JsonObject;
}

/** The object without nulls that its schema does not allow. */
export function withoutForbiddenNulls(object: JsonObject, schema: JsonSchemaProps): JsonObject {
  return pruned(object, schema) as JsonObject;
}

function defaulted(value: Json, schema: JsonSchemaProps | undefined): Json {
  if (schema === undefined) return value;
  if (isJsonObject(value)) return defaultedObject(value, schema);
  return isJsonArray(value) ? defaultedList(value, itemsOf(schema)) : value;
}

function defaultedObject(object: JsonObject, schema: JsonSchemaProps): JsonObject {
  let draft: JsonDraft | undefined;
  for (const key in schema.properties) {
    const property = schema.properties[key] as JsonSchemaProps;
    if (property.default === undefined || property.default === null) continue;
    const given = ownValue(object, key);
    if (given === undefined || isForbiddenNull(given, property))
      setOwn((draft ??= { ...object }), key, property.default);
  }
  const filled: JsonObject = draft ?? object;
  for (const key of Object.keys(filled)) {
    const property = propertyOf(schema, key);
    if (property === undefined) continue;
    const given = filled[key] as Json;
    const start = isForbiddenNull(given, property) ? (property.default ?? null) : given;
    const value = defaulted(start, property);
    if (value !== given) setOwn((draft ??= { ...object }), key, value);
  }
  return draft ?? object;
}

function defaultedList(list: readonly Json[], items: JsonSchemaProps | undefined): readonly Json[] {
  if (items === undefined) return list;
  const filled = list.map((item) => defaulted(isForbiddenNull(item, items) ? (items.default ?? null) : item, items));
  return filled.every((item, index) => item === list[index]) ? list : filled;
}

function pruned(value: Json, schema: JsonSchemaProps | undefined): Json {
  if (schema === undefined) return value;
  if (isJsonArray(value)) {
    const items = itemsOf(schema);
    const kept = value.map((item) => pruned(item, items));
    return kept.every((item, index) => item === value[index]) ? value : kept;
  }
  if (!isJsonObject(value)) return value;
  let draft: JsonDraft | undefined;
  for (const key of Object.keys(value)) {
    const property = propertyOf(schema, key);
    const given = value[key] as Json;
    const isGone = property !== undefined && isForbiddenNull(given, property) && (property.default ?? null) === null;
    const kept = isGone ? undefined : pruned(given, property);
    if (kept === given) continue;
    draft ??= { ...value };
    if (kept === undefined) delete draft[key];
    else setOwn(draft, key, kept);
  }
  return draft ?? value;
}

function isForbiddenNull(value: Json, schema: JsonSchemaProps): boolean {
  return value === null && schema.nullable !== true;
}
