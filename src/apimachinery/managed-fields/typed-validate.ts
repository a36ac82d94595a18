/**
 * Checks an applied object against its schema before it is merged: unknown fields, wrong types, list items without keys, duplicates. Texts as in
 * structured-merge-diff's validation.
 */
import { deducedSchema } from "#apimachinery/deduced-schema.ts";
import { goText, isJsonArray, isJsonObject, type JsonObject } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { ListSchema, MapSchema, ScalarSchema, Schema, StructSchema } from "#apimachinery/schema.ts";
import { elementText, itemElement, keyDefault } from "./path-element.ts";

/** What is wrong, each with its path: `.spec.foo: field not declared in schema`. */
export function typeProblems(object: JsonObject, schema: StructSchema): readonly string[] {
  return problemsOf(object, schema, "");
}

/** Several problems as one text, as upstream prints them. */
export function problemText(problems: readonly string[]): string {
  if (problems.length === 1) return problems[0] as string;
  return ["errors:", ...problems.map((problem) => `  ${problem}`)].join("\n");
}

function problemsOf(value: Json, schema: Schema, path: string): readonly string[] {
  if (value === null || schema === deducedSchema) return [];
  switch (schema.kind) {
    case "scalar":
      return scalarProblems(value, schema).map((problem) => at(path, problem));
    case "list":
      return isJsonArray(value) ? itemProblems(value, schema, path) : [at(path, `expected list, got ${shown(value)}`)];
    case "map":
    case "struct":
      return isJsonObject(value) ? fieldProblems(value, schema, path) : [at(path, `expected map, got ${shown(value)}`)];
  }
}

function fieldProblems(object: JsonObject, schema: StructSchema | MapSchema, path: string): readonly string[] {
  const problems: string[] = [];
  for (const [key, value] of Object.entries(object)) {
    const inner = schema.kind === "map" ? schema.values : schema.fields.get(key)?.schema;
    if (inner !== undefined) problems.push(...problemsOf(value, inner, `${path}.${key}`));
    else if (schema.kind === "struct" && !schema.preservesUnknownFields) {
      return [...problems, at(`${path}.${key}`, "field not declared in schema")];
    }
  }
  return problems;
}

function itemProblems(items: readonly Json[], schema: ListSchema, path: string): readonly string[] {
  const problems: string[] = [];
  const seen = new Set<string>();
  for (const [index, item] of items.entries()) {
    const isAtomic = schema.listType === "atomic";
    const element = isAtomic ? `i:${index}` : itemElement(schema, item);
    if (element === undefined) return [...problems, at(path, `element ${index}: ${noElement(schema, item)}`)];
    if (seen.has(element)) problems.push(at(path, `duplicate entries for key ${elementText(element)}`));
    seen.add(element);
    problems.push(...problemsOf(item, schema.items, path + elementText(element)));
  }
  return problems;
}

function noElement(schema: ListSchema, item: Json): string {
  if (schema.listType === "set") {
    if (item === null) return "associative list without keys has an element that's an explicit null";
    if (isJsonArray(item)) return "not supported: associative list with lists as elements";
    return "associative list without keys has an element that's a map type";
  }
  if (item === null) return "associative list with keys may not have a null element";
  if (!isJsonObject(item)) return "associative list with keys may not have non-map elements";
  const keys = `[${schema.mapKeys.map((key) => JSON.stringify(key)).join(" ")}]`;
  const hasDefault = schema.mapKeys.some((key) => keyDefault(schema, key) !== undefined);
  const why = `associative list with keys has an element that omits all key fields ${keys}`;
  return hasDefault ? why : `${why} (and doesn't have default values for any key fields)`;
}

function scalarProblems(value: Json, { type }: ScalarSchema): readonly string[] {
  switch (type) {
    case "any":
      return [];
    case "int32":
    case "int64":
    case "double":
      return typeof value === "number" ? [] : [`expected numeric (int or float), got ${goType(value)}`];
    case "boolean":
      return typeof value === "boolean" ? [] : [`expected boolean, got ${shown(value)}`];
    case "intOrString":
    case "quantity":
      return typeof value === "object" ? [`expected any scalar, got ${shown(value)}`] : [];
    default:
      return typeof value === "string" ? [] : [`expected string, got ${shown(value)}`];
  }
}

function at(path: string, problem: string): string {
  return path === "" ? problem : `${path}: ${problem}`;
}

function shown(value: Json): string {
  return typeof value === "string" ? JSON.stringify(value) : `&value.valueUnstructured{Value:${goText(value)}}`;
}

function goType(value: Json): string {
  if (isJsonArray(value)) return "[]interface {}";
  if (typeof value === "object") return "map[string]interface {}";
  return typeof value === "boolean" ? "bool" : "string";
}
