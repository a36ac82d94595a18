/**
 * Validation of custom resources by their schema. What is checked, and in which words, as kube-openapi's validation; composed schemas are in `composed` below.
 */
import { type FieldError, invalid, notSupported, required, tooLong, tooMany } from "#apimachinery/field-error.ts";
import { isJsonArray, isJsonObject, type JsonObject, jsonEqual, ownValue } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import { findFormat, fitsIntegerFormat } from "./formats.ts";
import { additionalOf, itemsOf, type JsonSchemaProps } from "./json-schema-props.ts";
import type { Patterns } from "./patterns.ts";

/** What is wrong with a whole object. What an update leaves as it was in `old` is not judged again, so that schemas may become stricter. */
export function valueErrors(
  value: Json,
  schema: JsonSchemaProps,
  { patterns, old }: { readonly patterns: Patterns; readonly old?: Json | undefined },
): readonly FieldError[] {
  return new Validation(patterns).check(value, schema, "", old);
}

class Validation {
  readonly #patterns: Patterns;

  constructor(patterns: Patterns) {
    this.#patterns = patterns;
  }

  check(value: Json, schema: JsonSchemaProps, path: string, old?: Json): FieldError[] {
    const errors: FieldError[] = [];
    if (old !== undefined && jsonEqual(value, old)) return errors;
    this.#type(value, schema, path, errors);
    if (value !== null) {
      this.#composed(value, schema, path, errors);
      if (typeof value === "string") this.#string(value, schema, path, errors);
      if (typeof value === "number") this.#number(value, schema, path, errors);
      if (isJsonArray(value)) this.#list(value, schema, { path, old }, errors);
    }
    this.#enum(value, schema, path, errors);
    if (isJsonObject(value)) this.#object(value, schema, { path, old }, errors);
    return errors;
  }

  #type(value: Json, schema: JsonSchemaProps, path: string, errors: FieldError[]): void {
    const types = typesOf(schema);
    const format = formatOf(schema);
    if (value === null) {
      if (types.length > 0 && schema.nullable !== true) errors.push(wrongType(path, types.join(","), "null"));
      return;
    }
    if (types.length === 0 && format === "") return;
    const actual = typeOf(value);
    const isText = typeof value === "string" || isJsonArray(value);
    const isNumeric = types.includes("number") || types.includes("integer");
    const fits = types.includes(actual) || (actual === "integer" && types.includes("number"));
    if (!isText && format !== "" && !fits) errors.push(wrongType(path, format, formatOfValue(value)));
    else if (isText && format !== "" && !isNumeric) return;
    else if (!fits) errors.push(wrongType(path, types.join(","), actual));
  }

  #string(value: string, schema: JsonSchemaProps, path: string, errors: FieldError[]): void {
    const { maxLength, minLength, pattern } = schema;
    const length = maxLength === undefined && minLength === undefined ? 0 : Array.from(value).length;
    if (maxLength !== undefined && length > maxLength) errors.push(tooLong(fieldOf(path), maxLength));
    else if (minLength !== undefined && length < minLength) {
      errors.push(wrong(path, value, `should be at least ${minLength} chars long`));
    } else if (pattern && !this.#patterns.matches(pattern, value)) {
      errors.push(wrong(path, value, `should match '${pattern}'`));
    }
    const check = schema.type === undefined || schema.type === "string" ? findFormat(schema.format ?? "") : undefined;
    if (check !== undefined && !check(value)) errors.push(wrongType(path, schema.format as string, value));
  }

  #number(value: number, schema: JsonSchemaProps, path: string, errors: FieldError[]): void {
    const { maximum, minimum, multipleOf, exclusiveMaximum, exclusiveMinimum, type, format } = schema;
    if (type === "integer" && Number.isInteger(value) && !fitsIntegerFormat(value, format)) {
      const why = `Checked value must be of type integer with format ${format} in ${path}`;
      errors.push(unplaced(why));
    }
    if (multipleOf !== undefined && !isMultiple(value, multipleOf)) {
      errors.push(wrong(path, value, `should be a multiple of ${multipleOf}`));
    }
    if (minimum !== undefined && (exclusiveMinimum === true ? value <= minimum : value < minimum)) {
      const relation = exclusiveMinimum === true ? "greater than" : "greater than or equal to";
      errors.push(wrong(path, value, `should be ${relation} ${minimum}`));
    }
    if (maximum !== undefined && (exclusiveMaximum === true ? value >= maximum : value > maximum)) {
      const relation = exclusiveMaximum === true ? "less than" : "less than or equal to";
      errors.push(wrong(path, value, `should be ${relation} ${maximum}`));
    }
  }

  #list(list: readonly Json[], schema: JsonSchemaProps, { path, old }: Place, errors: FieldError[]): void {
    const items = itemsOf(schema);
    if (items !== undefined) {
      const oldItem = itemFinder(schema, old);
      list.forEach((item, index) => errors.push(...this.check(item, items, `${path}[${index}]`, oldItem(item))));
    }
    const { minItems, maxItems, uniqueItems } = schema;
    if (minItems !== undefined && list.length < minItems) {
      errors.push(wrong(path, list.length, `should have at least ${minItems} items`));
    }
    if (maxItems !== undefined && list.length > maxItems) errors.push(tooMany(fieldOf(path), list.length, maxItems));
    if (uniqueItems === true && new Set(list.map((item) => JSON.stringify(item))).size < list.length) {
      errors.push(wrong(path, "", "shouldn't contain duplicates"));
    }
  }

  #enum(value: Json, schema: JsonSchemaProps, path: string, errors: FieldError[]): void {
    if (schema.enum === undefined || schema.enum === null || schema.enum.length === 0) return;
    if (value !== null && schema.enum.some((allowed) => jsonEqual(allowed, value))) return;
    const allowed = schema.enum.map((each) => (typeof each === "string" ? each : JSON.stringify(each)));
    errors.push(notSupported(fieldOf(path), value, allowed));
  }

  #object(object: JsonObject, schema: JsonSchemaProps, { path, old }: Place, errors: FieldError[]): void {
    const oldObject = isJsonObject(old) && schema["x-kubernetes-map-type"] !== "atomic" ? old : {};
    const keys = Object.keys(object);
    const { minProperties, maxProperties, properties = {} } = schema;
    if (minProperties !== undefined && keys.length < minProperties) {
      errors.push(wrong(path, keys.length, `should have at least ${minProperties} properties`));
    }
    if (maxProperties !== undefined && keys.length > maxProperties) {
      errors.push(tooMany(fieldOf(path), keys.length, maxProperties));
    }
    const additional = additionalOf(schema);
    for (const key of keys) {
      const isDeclared = Object.hasOwn(properties, key);
      if (isDeclared) {
        const inner = path === "" ? key : `${path}.${key}`;
        errors.push(
          ...this.check(object[key] as Json, properties[key] as JsonSchemaProps, inner, ownValue(oldObject, key)),
        );
      } else if (additional !== undefined) {
        errors.push(...this.check(object[key] as Json, additional, `${path}.${key}`, ownValue(oldObject, key)));
      } else if (schema.additionalProperties === false) {
        errors.push({ ...wrong(path, key, ""), message: forbiddenProperty(path, key) });
      }
    }
    for (const key of schema.required ?? []) {
      if (!Object.hasOwn(object, key)) errors.push(required(fieldOf(`${path}.${key}`)));
    }
  }

  #composed(value: Json, schema: JsonSchemaProps, path: string, errors: FieldError[]): void {
    if (schema.anyOf?.length) this.#anyOf(value, schema.anyOf, path, errors);
    if (schema.oneOf?.length) this.#oneOf(value, schema.oneOf, path, errors);
    if (schema.allOf?.length) this.#allOf(value, schema.allOf, path, errors);
    if (schema.not !== undefined && this.check(value, schema.not, path).length === 0) {
      errors.push(unplaced(`${quoted(path)} must not validate the schema (not)`));
    }
  }

  #anyOf(value: Json, schemas: readonly JsonSchemaProps[], path: string, errors: FieldError[]): void {
    let best: readonly FieldError[] | undefined;
    for (const schema of schemas) {
      const found = this.check(value, schema, path);
      if (found.length === 0) return;
      if (best === undefined || found.length < best.length) best = found;
    }
    errors.push(unplaced(`${quoted(path)} must validate at least one schema (anyOf)`), ...(best ?? []));
  }

  #oneOf(value: Json, schemas: readonly JsonSchemaProps[], path: string, errors: FieldError[]): void {
    const results = schemas.map((schema) => this.check(value, schema, path));
    const valid = results.filter((found) => found.length === 0).length;
    if (valid === 1) return;
    const why = valid === 0 ? "Found none valid" : `Found ${valid} valid alternatives`;
    errors.push(unplaced(`${quoted(path)} must validate one and only one schema (oneOf). ${why}`));
    if (valid > 0) return;
    const best = results.reduce((least, found) => (found.length < least.length ? found : least));
    errors.push(...best);
  }

  #allOf(value: Json, schemas: readonly JsonSchemaProps[], path: string, errors: FieldError[]): void {
    const results = schemas.map((schema) => this.check(value, schema, path));
    const valid = results.filter((found) => found.length === 0).length;
    errors.push(...results.flat());
    if (valid === schemas.length) return;
    errors.push(
      unplaced(`${quoted(path)} must validate all the schemas (allOf)${valid === 0 ? ". None validated" : ""}`),
    );
  }
}

type Place = { readonly path: string; readonly old: Json | undefined };

/** Finds the item that stood there before, by the keys of a list that is a map; other lists' items have no past. */
export function itemFinder(schema: JsonSchemaProps, old: Json | undefined): (item: Json) => Json | undefined {
  if (schema["x-kubernetes-list-type"] !== "map" || !isJsonArray(old)) return () => undefined;
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  const textOf = (item: Json): string =>
    JSON.stringify(isJsonObject(item) ? keys.map((key) => item[key] ?? null) : item);
  const byKey = new Map(old.map((item) => [textOf(item), item]));
  return (item) => byKey.get(textOf(item));
}

function typesOf(schema: JsonSchemaProps): readonly string[] {
  if (schema["x-kubernetes-int-or-string"]) return ["integer", "string"];
  return schema.type ? [schema.type] : [];
}

/** Formats that count for the schema's type; others are as if they were not there. */
function formatOf(schema: JsonSchemaProps): string {
  const { format = "", type = "" } = schema;
  if (type === "" || type === "string") return findFormat(format) === undefined ? "" : format;
  if (type === "integer") return format === "int32" || format === "int64" ? format : "";
  return type === "number" && (format === "float" || format === "double") ? format : "";
}

function typeOf(value: Json): string {
  if (isJsonArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

function formatOfValue(value: Json): string {
  if (typeof value !== "number") return "";
  return Number.isInteger(value) ? "int64" : "double";
}

function isMultiple(value: number, factor: number): boolean {
  const quotient = factor < 1 ? (1 / factor) * value : value / factor;
  return Math.abs(quotient - Math.round(quotient)) < 1e-9 * Math.max(1, Math.abs(quotient));
}

function wrong(path: string, value: unknown, why: string): FieldError {
  return invalid(fieldOf(path), value, `${path} in body ${why}`);
}

function wrongType(path: string, type: string, shown: string): FieldError {
  const detail = `${path} in body must be of type ${type}: ${JSON.stringify(shown)}`;
  return { ...invalid(fieldOf(path), shown, detail), type: "FieldValueTypeInvalid" };
}

function forbiddenProperty(path: string, key: string): string {
  return `Invalid value: ${JSON.stringify(key)}: ${path}.${key} in body is a forbidden property`;
}

/** Upstream loses the place of these and shows `<nil>`; the text names it. */
function unplaced(why: string): FieldError {
  return invalid("<nil>", "", why);
}

function fieldOf(path: string): string {
  const field = path.startsWith(".") ? path.slice(1) : path;
  return field === "" ? "<nil>" : field;
}

function quoted(path: string): string {
  return JSON.stringify(path);
}
