/**
 * Lists that are sets or maps may hold nothing twice. As apiextensions-apiserver's schema/listtype.
 */
import { duplicate, type FieldError, invalid } from "#apimachinery/field-error.ts";
import { isJsonArray, isJsonObject, type JsonDraft, type JsonObject, setOwn } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import { additionalOf, itemsOf, type JsonSchemaProps } from "./json-schema-props.ts";

/** What stands twice in sets and maps of the object. */
export function listTypeErrors(value: Json, schema: JsonSchemaProps, field = ""): readonly FieldError[] {
  if (isJsonArray(value)) return listErrors(value, schema, field);
  return isJsonObject(value) ? objectErrors(value, schema, field) : [];
}

function objectErrors(object: JsonObject, schema: JsonSchemaProps, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  const additional = additionalOf(schema);
  for (const [key, value] of Object.entries(object)) {
    if (typeof value !== "object") continue;
    if (additional !== undefined) errors.push(...listTypeErrors(value, additional, `${field}[${key}]`));
    const property = schema.properties?.[key];
    if (property !== undefined && Object.hasOwn(schema.properties as object, key)) {
      errors.push(...listTypeErrors(value, property, field === "" ? key : `${field}.${key}`));
    }
  }
  return errors;
}

function listErrors(list: readonly Json[], schema: JsonSchemaProps, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (schema["x-kubernetes-list-type"] === "set") errors.push(...repeated(list, list, field));
  if (schema["x-kubernetes-list-type"] === "map") errors.push(...mapErrors(list, schema, field));
  const items = itemsOf(schema);
  if (items === undefined) return errors;
  list.forEach((item, index) => errors.push(...listTypeErrors(item, items, `${field}[${index}]`)));
  return errors;
}

function mapErrors(list: readonly Json[], schema: JsonSchemaProps, field: string): readonly FieldError[] {
  const wrong = list.findIndex((item) => item !== null && !isJsonObject(item));
  if (wrong >= 0) {
    return [invalid(`${field}[${wrong}]`, list[wrong], "must be an object for an array of list-type map")];
  }
  const keys = list.map((item) => keyOf(item, schema["x-kubernetes-list-map-keys"] ?? []));
  return repeated(keys, keys, field);
}

function keyOf(item: Json, names: readonly string[]): Json {
  const key: JsonDraft = {};
  if (!isJsonObject(item)) return key;
  for (const name of [...names].sort()) {
    if (Object.hasOwn(item, name)) setOwn(key, name, item[name] as Json);
  }
  return key;
}

/** Each repetition is told once, at its second appearance. */
function repeated(values: readonly Json[], shown: readonly Json[], field: string): readonly FieldError[] {
  const seen = new Map<string, number>();
  const errors: FieldError[] = [];
  values.forEach((value, index) => {
    const text = JSON.stringify(value);
    const times = (seen.get(text) ?? 0) + 1;
    seen.set(text, times);
    if (times === 2) errors.push(duplicate(`${field}[${index}]`, shown[index]));
  });
  return errors;
}
