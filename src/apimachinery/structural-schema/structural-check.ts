/**
 * Whether a schema is structural: every field has a type outside of allOf, anyOf, oneOf and not, and these hold validations only. Rules and
 * texts as in apiextensions-apiserver's pkg/apiserver/schema.
 */
import { type FieldError, forbiddenField, invalid, required } from "#apimachinery/field-error.ts";
import { jsonEqual } from "#apimachinery/json.ts";
import { additionalOf, itemsOf, type JsonSchemaProps } from "./json-schema-props.ts";
import { patternProblem } from "./patterns.ts";

/** What keeps the schema from being structural, sorted by text as upstream does. */
export function structuralProblems(schema: JsonSchemaProps, field: string): readonly FieldError[] {
  const errors = [...invariants(schema, "root", field), ...completeness(schema, schema, field, field)];
  const text = (error: FieldError): string => `${error.field}: ${error.message}`;
  return errors.sort((a, b) => (text(a) < text(b) ? -1 : 1));
}

type Level = "root" | "item" | "field";

const intOrStringAnyOf: readonly JsonSchemaProps[] = [{ type: "integer" }, { type: "string" }];

function invariants(schema: JsonSchemaProps, level: Level, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const items = itemsOf(schema);
  if (schema.type === "array" && items === undefined) errors.push(required(`${field}.items`, "must be specified"));
  if (items !== undefined) errors.push(...invariants(items, "item", `${field}.items`));
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    if (level === "root" && key === "metadata") continue;
    errors.push(...invariants(property, "field", `${field}.properties[${key}]`));
  }
  errors.push(...additionalErrors(schema, level, field), ...extensionErrors(schema, field));
  errors.push(...valueErrors(schema, level, field, isIntOrString(schema)));
  errors.push(...typeErrors(schema, level, field), ...embeddedErrors(schema, level, field));
  return errors;
}

function additionalErrors(schema: JsonSchemaProps, level: Level, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  const given = schema.additionalProperties;
  if (given === undefined || given === null) return errors;
  const path = `${field}.additionalProperties`;
  if (level === "root") errors.push(forbiddenField(path, "must not be used at the root"));
  const additional = additionalOf(schema);
  if (additional !== undefined) errors.push(...invariants(additional, "field", path));
  if (schema["x-kubernetes-embedded-resource"]) {
    errors.push(forbiddenField(path, "must not be used if x-kubernetes-embedded-resource is set"));
  }
  return errors;
}

function extensionErrors(schema: JsonSchemaProps, field: string): readonly FieldError[] {
  if (!schema["x-kubernetes-int-or-string"]) return [];
  const keys = ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] as const;
  return keys
    .filter((key) => schema[key])
    .map((key) => invalid(`${field}.${key}`, true, "must be false if x-kubernetes-int-or-string is true"));
}

function typeErrors(schema: JsonSchemaProps, level: Level, field: string): readonly FieldError[] {
  const { type = "" } = schema;
  const path = `${field}.type`;
  if (schema["x-kubernetes-embedded-resource"] && type !== "object") {
    const why = "must be object if x-kubernetes-embedded-resource is true";
    return [type === "" ? required(path, why) : invalid(path, type, why)];
  }
  if (type === "") {
    if (schema["x-kubernetes-int-or-string"] || schema["x-kubernetes-preserve-unknown-fields"]) return [];
    return [required(path, emptyType[level])];
  }
  return level === "root" && type !== "object" ? [invalid(path, type, "must be object at the root")] : [];
}

const emptyType: Readonly<Record<Level, string>> = {
  root: "must not be empty at the root",
  item: "must not be empty for specified array items",
  field: "must not be empty for specified object fields",
};

/** kind, apiVersion and metadata, where the schema is that of an object of the API. */
function embeddedErrors(schema: JsonSchemaProps, level: Level, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  const isObject = level === "root" || schema["x-kubernetes-embedded-resource"] === true;
  for (const key of isObject ? ["kind", "apiVersion"] : []) {
    const property = schema.properties?.[key];
    if (property !== undefined && property.type !== "string") {
      errors.push(invalid(`${field}.properties[${key}].type`, property.type ?? "", "must be string"));
    }
  }
  const metadata = schema.properties?.["metadata"];
  if (metadata !== undefined)
    errors.push(...metadataErrors(metadata, isObject, level, `${field}.properties[metadata]`));
  const isEmpty = Object.keys(schema.properties ?? {}).length === 0;
  if (schema["x-kubernetes-embedded-resource"] && !schema["x-kubernetes-preserve-unknown-fields"] && isEmpty) {
    const why =
      "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
    errors.push(required(`${field}.properties`, why));
  }
  return errors;
}

function metadataErrors(
  metadata: JsonSchemaProps,
  isObject: boolean,
  level: Level,
  field: string,
): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (isObject && metadata.type !== "object")
    errors.push(invalid(`${field}.type`, metadata.type ?? "", "must be object"));
  if (level !== "root") return errors;
  const names = Object.keys(metadata.properties ?? {});
  const restrictsNames = names.length > 0 && names.every((name) => name === "name" || name === "generateName");
  const ignored = ["type", "default", "description", ...(restrictsNames || names.length === 0 ? ["properties"] : [])];
  const others = Object.keys(metadata).filter((key) => !ignored.includes(key));
  if (others.length > 0) {
    const why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
    errors.push(forbiddenField(field, why));
  }
  if (restrictsNames) {
    for (const [key, property] of Object.entries(metadata.properties ?? {})) {
      errors.push(...invariants(property, "field", `${field}.properties[${key}]`));
    }
  }
  return errors;
}

/** Whether anyOf is the known pattern for int-or-string, alone or as the first of allOf. */
function isIntOrString(schema: JsonSchemaProps): "anyOf" | "allOf" | undefined {
  if (jsonEqual(schema.anyOf, intOrStringAnyOf)) return "anyOf";
  return jsonEqual(schema.allOf?.[0]?.anyOf, intOrStringAnyOf) ? "allOf" : undefined;
}

function valueErrors(
  schema: JsonSchemaProps,
  level: Level,
  field: string,
  skipped?: "anyOf" | "allOf",
): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (skipped !== "anyOf") {
    schema.anyOf?.forEach((each, index) => errors.push(...nested(each, level, `${field}.anyOf[${index}]`)));
  }
  schema.allOf?.forEach((each, index) => {
    errors.push(...nested(each, level, `${field}.allOf[${index}]`, skipped === "allOf" && index === 0));
  });
  schema.oneOf?.forEach((each, index) => errors.push(...nested(each, level, `${field}.oneOf[${index}]`)));
  if (schema.not !== undefined) errors.push(...nested(schema.not, level, `${field}.not`));
  if (schema.pattern) {
    const problem = patternProblem(schema.pattern);
    if (problem !== undefined) {
      const why = `must be a valid regular expression, but isn't: ${problem}`;
      errors.push(invalid(`${field}.pattern`, schema.pattern, why));
    }
  }
  return errors;
}

/** Below allOf, anyOf, oneOf and not only validations may stand. */
function nested(schema: JsonSchemaProps, level: Level, field: string, skipsAnyOf = false): readonly FieldError[] {
  const errors = [...valueErrors(schema, level, field, skipsAnyOf ? "anyOf" : undefined)];
  const items = itemsOf(schema);
  if (items !== undefined) errors.push(...nested(items, level, `${field}.items`));
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    errors.push(...nested(property, "field", `${field}.properties[${key}]`));
  }
  for (const [key, why] of forbiddenKeys) {
    const value = schema[key];
    const isSet = Array.isArray(value) ? value.length > 0 : value !== undefined && value !== "" && value !== false;
    if (isSet && value !== null) errors.push(forbiddenField(`${field}.${key}`, why));
  }
  if (schema.properties?.["metadata"] !== undefined) {
    errors.push(forbiddenField(`${field}.properties[metadata]`, "must not be specified in a nested context"));
  }
  return errors;
}

const forbiddenKeys: readonly (readonly [keyof JsonSchemaProps, string])[] = [
  ["type", "must be empty to be structural"],
  ["additionalProperties", "must be undefined to be structural"],
  ["default", "must be undefined to be structural"],
  ["title", "must be empty to be structural"],
  ["description", "must be empty to be structural"],
  ["nullable", "must be false to be structural"],
  ["x-kubernetes-preserve-unknown-fields", "must be false to be structural"],
  ["x-kubernetes-embedded-resource", "must be false to be structural"],
  ["x-kubernetes-int-or-string", "must be false to be structural"],
  ["x-kubernetes-list-map-keys", "must be empty to be structural"],
  ["x-kubernetes-list-type", "must be undefined to be structural"],
  ["x-kubernetes-map-type", "must be undefined to be structural"],
  ["x-kubernetes-validations", "must be empty to be structural"],
];

/** Whatever a validation speaks of must also be in the structural part. */
function completeness(
  validation: JsonSchemaProps,
  schema: JsonSchemaProps,
  path: string,
  at: string,
): readonly FieldError[] {
  const errors: FieldError[] = [];
  const visit = (each: JsonSchemaProps, where: string): void => {
    errors.push(...nestedCompleteness(each, schema, path, where));
  };
  if (validation.not !== undefined) visit(validation.not, `${at}.not`);
  validation.allOf?.forEach((each, index) => visit(each, `${at}.allOf[${index}]`));
  validation.anyOf?.forEach((each, index) => visit(each, `${at}.anyOf[${index}]`));
  validation.oneOf?.forEach((each, index) => visit(each, `${at}.oneOf[${index}]`));
  return errors;
}

function nestedCompleteness(
  validation: JsonSchemaProps,
  schema: JsonSchemaProps | undefined,
  path: string,
  at: string,
): readonly FieldError[] {
  if (schema === undefined) return [required(path, `because it is defined in ${at}`)];
  const errors = [...completeness(validation, schema, path, at)];
  const items = itemsOf(validation);
  if (items !== undefined) {
    errors.push(...nestedCompleteness(items, itemsOf(schema), `${path}.items`, `${at}.items`));
  }
  for (const [key, property] of Object.entries(validation.properties ?? {})) {
    const where = `${at}.properties[${key}]`;
    errors.push(...nestedCompleteness(property, schema.properties?.[key], `${path}.properties[${key}]`, where));
  }
  return errors;
}
