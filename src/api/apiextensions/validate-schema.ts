/**
 * Validation of the schemas in CustomResourceDefinitions, beyond their being structural. Rules and texts as apiextensions-apiserver's validation.
 */
import { type FieldError, forbiddenField, invalid, notSupported, required } from "#apimachinery/field-error.ts";
import type { JsonObject } from "#apimachinery/json.ts";
import { Patterns } from "#apimachinery/structural-schema/patterns.ts";
import { additionalOf, itemsOf, type JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import { structuralProblems } from "#apimachinery/structural-schema/structural-check.ts";
import { withDefaults } from "#apimachinery/structural-schema/defaults.ts";
import { valueErrors } from "#apimachinery/structural-schema/validate-value.ts";
import { validateRules } from "./validate-rules.ts";

const types = ["array", "boolean", "integer", "number", "object", "string"];

/** Fields of a schema that may stand at its root when there is a status endpoint, as upstream names them. */
const rootFields =
  "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations]";
const notAtRoot = ["enum", "maxProperties", "minProperties", "allOf", "oneOf", "anyOf", "not", "default"] as const;

/** What is wrong with the schema of one version. */
export function validateSchema(
  schema: JsonSchemaProps,
  field: string,
  { hasStatus }: { readonly hasStatus: boolean },
): readonly FieldError[] {
  const errors: FieldError[] = hasStatus ? [...rootErrors(schema, field)] : [];
  if (schema.nullable === true) errors.push(forbiddenField(`${field}.nullable`, "nullable cannot be true at the root"));
  const problems = structuralProblems(schema, field);
  errors.push(...problems);
  if (problems.length === 0) errors.push(...defaultErrors(schema, field));
  errors.push(...nodeErrors(schema, field));
  // Expressions are looked at in schemas that are right otherwise.
  return errors.length > 0 ? errors : validateRules(schema, field);
}

function rootErrors(schema: JsonSchemaProps, field: string): readonly FieldError[] {
  if (schema.type !== undefined && schema.type !== "object") {
    const why = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled';
    return [invalid(`${field}.type`, schema.type, why)];
  }
  if (!notAtRoot.some((key) => schema[key] !== undefined)) return [];
  const why = `only ${rootFields} fields are allowed at the root of the schema if the status subresource is enabled`;
  return [invalid(field, schema, why)];
}

/** Each node for itself: what is not supported, and what must fit together. */
function nodeErrors(schema: JsonSchemaProps, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (schema.type === "null") {
    errors.push(forbiddenField(`${field}.type`, "type cannot be set to null, use nullable as an alternative"));
  } else if (schema.type && !types.includes(schema.type)) {
    errors.push(notSupported(`${field}.type`, schema.type, types));
  }
  for (const key of ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] as const) {
    if (schema[key] !== undefined) errors.push(forbiddenField(`${field}.${key}`, `${key} is not supported`));
  }
  if (Array.isArray(schema.items)) {
    errors.push(forbiddenField(`${field}.items`, "items must be a schema object and not an array"));
  }
  if (schema.uniqueItems === true) {
    const why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
    errors.push(forbiddenField(`${field}.uniqueItems`, why));
  }
  errors.push(...additionalErrors(schema, field), ...listTypeErrors(schema, field), ...mapTypeErrors(schema, field));
  if (schema["x-kubernetes-preserve-unknown-fields"] === false) {
    errors.push(invalid(`${field}.x-kubernetes-preserve-unknown-fields`, false, "must be true or undefined"));
  }
  for (const { schema: inner, path } of children(schema, field)) errors.push(...nodeErrors(inner, path));
  return errors;
}

function children(
  schema: JsonSchemaProps,
  field: string,
): readonly { readonly schema: JsonSchemaProps; readonly path: string }[] {
  const found: { schema: JsonSchemaProps; path: string }[] = [];
  const add = (inner: JsonSchemaProps | undefined, path: string): void => {
    if (inner !== undefined && inner !== null) found.push({ schema: inner, path: `${field}.${path}` });
  };
  add(itemsOf(schema), "items");
  add(additionalOf(schema), "additionalProperties");
  add(schema.not, "not");
  for (const key of ["allOf", "anyOf", "oneOf"] as const) {
    schema[key]?.forEach((inner, index) => add(inner, `${key}[${index}]`));
  }
  for (const [name, inner] of Object.entries(schema.properties ?? {})) add(inner, `properties[${name}]`);
  return found;
}

function additionalErrors(schema: JsonSchemaProps, field: string): readonly FieldError[] {
  const given = schema.additionalProperties;
  if (given === undefined || given === null) return [];
  const errors: FieldError[] = [];
  if (Object.keys(schema.properties ?? {}).length > 0 && given !== false) {
    const why = "additionalProperties and properties are mutual exclusive";
    errors.push(forbiddenField(`${field}.additionalProperties`, why));
  }
  if (given === false) {
    errors.push(forbiddenField(`${field}.additionalProperties`, "additionalProperties cannot be set to false"));
  }
  return errors;
}

function listTypeErrors(schema: JsonSchemaProps, field: string): readonly FieldError[] {
  const listType = schema["x-kubernetes-list-type"];
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  const errors: FieldError[] = [];
  const items = itemsOf(schema);
  const at = `${field}.x-kubernetes-list-type`;
  if (listType !== undefined && schema.type !== "array") {
    if (!schema.type) errors.push(required(`${field}.type`, "must be array if x-kubernetes-list-type is specified"));
    else {
      errors.push(invalid(`${field}.type`, schema.type, "must be array if x-kubernetes-list-type is specified"));
    }
  }
  if (listType !== undefined && !["atomic", "set", "map"].includes(listType)) {
    errors.push(notSupported(at, listType, ["atomic", "set", "map"]));
  }
  if (listType !== "map") {
    if (keys.length > 0 && listType !== undefined) {
      errors.push(invalid(at, listType, "must be map if x-kubernetes-list-map-keys is non-empty"));
    } else if (keys.length > 0) {
      errors.push(required(at, "must be map if x-kubernetes-list-map-keys is non-empty"));
    }
  } else errors.push(...mapKeyErrors(schema, keys, field));
  if (listType === "set" && items !== undefined) errors.push(...setItemErrors(items, field));
  return errors;
}

function mapKeyErrors(schema: JsonSchemaProps, keys: readonly string[], field: string): readonly FieldError[] {
  const at = `${field}.x-kubernetes-list-map-keys`;
  if (keys.length === 0) return [required(at, "must not be empty if x-kubernetes-list-type is map")];
  const errors: FieldError[] = [];
  const items = itemsOf(schema);
  if (items?.type !== "object") {
    const why = "must be object if parent array's x-kubernetes-list-type is map";
    errors.push(invalid(`${field}.items.type`, items?.type ?? "", why));
  }
  keys.forEach((key, index) => {
    const property = items?.properties?.[key];
    if (property === undefined) {
      errors.push(invalid(`${at}[${index}]`, key, "entries must all be names of item properties"));
    } else if (property.type === "array" || property.type === "object") {
      const why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
      errors.push(invalid(`${field}.items.properties[${key}].type`, property.type, why));
    } else if (property.default === undefined && items?.required?.includes(key) !== true) {
      const why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
      errors.push(required(`${field}.items.properties[${key}].default`, why));
    } else if (property.nullable === true) {
      const why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
      errors.push(forbiddenField(`${field}.items.properties[${key}].nullable`, why));
    }
  });
  if (new Set(keys).size < keys.length) errors.push(invalid(at, keys, "entries must be unique"));
  return errors;
}

function setItemErrors(items: JsonSchemaProps, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (items.type === "object" && items["x-kubernetes-map-type"] !== "atomic") {
    const why = "must be atomic as item of a list with x-kubernetes-list-type=set";
    const at = `${field}.items.x-kubernetes-map-type`;
    errors.push(
      items["x-kubernetes-map-type"] === undefined
        ? required(at, why)
        : invalid(at, items["x-kubernetes-map-type"], why),
    );
  }
  if (
    items.type === "array" &&
    items["x-kubernetes-list-type"] !== "atomic" &&
    items["x-kubernetes-list-type"] !== undefined
  ) {
    const why = "must be atomic as item of a list with x-kubernetes-list-type=set";
    errors.push(invalid(`${field}.items.x-kubernetes-list-type`, items["x-kubernetes-list-type"], why));
  }
  if (items.nullable === true) {
    const why = "cannot be nullable when x-kubernetes-list-type is set";
    errors.push(forbiddenField(`${field}.items.nullable`, why));
  }
  return errors;
}

function mapTypeErrors(schema: JsonSchemaProps, field: string): readonly FieldError[] {
  const mapType = schema["x-kubernetes-map-type"];
  if (mapType === undefined) return [];
  const errors: FieldError[] = [];
  if (schema.type !== "object") {
    const why = "must be object if x-kubernetes-map-type is specified";
    errors.push(schema.type ? invalid(`${field}.type`, schema.type, why) : required(`${field}.type`, why));
  }
  if (mapType !== "atomic" && mapType !== "granular") {
    errors.push(notSupported(`${field}.x-kubernetes-map-type`, mapType, ["atomic", "granular"]));
  }
  return errors;
}

/** Defaults must be valid themselves. */
function defaultErrors(schema: JsonSchemaProps, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  const patterns = new Patterns();
  const visit = (node: JsonSchemaProps, path: string): void => {
    if (node.default !== undefined && node.default !== null) {
      // The default stands alone in an object, so that its own defaults count as well.
      const holder: JsonSchemaProps = { type: "object", properties: { default: node } };
      const object = withDefaults({ default: node.default } as JsonObject, holder);
      for (const error of valueErrors(object, holder, { patterns })) {
        const inner = error.field.replace(/^default/, "");
        errors.push({ ...error, field: error.field === "<nil>" ? "<nil>" : `${path}.default${inner}` });
      }
    }
    for (const child of children(node, path)) visit(child.schema, child.path);
  };
  visit(schema, field);
  return errors;
}
