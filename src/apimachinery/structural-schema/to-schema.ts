/**
 * A CustomResourceDefinition's schema as a {@link Schema}: what reading, pruning and server-side apply of custom resources follow.
 */
import { deducedSchema } from "#apimachinery/deduced-schema.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { FieldSchema, ListSchema, ScalarSchema, Schema, StructSchema } from "#apimachinery/schema.ts";
import { additionalOf, itemsOf, type JsonSchemaProps } from "./json-schema-props.ts";

/** The schema of a whole custom resource; `objectMeta` is that of metadata. Without a schema everything is kept. */
export function toSchema(root: JsonSchemaProps | undefined, objectMeta: StructSchema): StructSchema {
  return resourceSchema(root ?? { type: "object", "x-kubernetes-preserve-unknown-fields": true }, objectMeta);
}

const string: ScalarSchema = { kind: "scalar", type: "string" };

/** Nothing is declared, everything kept: objects inside are granular. */
const anything: StructSchema = struct([], "granular", true);

function resourceSchema(schema: JsonSchemaProps, objectMeta: StructSchema): StructSchema {
  const own = fieldsOf(schema, objectMeta).filter(({ name }) => !["apiVersion", "kind", "metadata"].includes(name));
  const fields = [
    field("apiVersion", string, undefined, false),
    field("kind", string, undefined, false),
    field("metadata", objectMeta, undefined, false),
    ...own,
  ];
  return struct(fields, mapTypeOf(schema), schema["x-kubernetes-preserve-unknown-fields"] === true);
}

function convert(schema: JsonSchemaProps, objectMeta: StructSchema): Schema {
  if (schema["x-kubernetes-int-or-string"]) return { kind: "scalar", type: "intOrString" };
  if (schema["x-kubernetes-embedded-resource"]) return resourceSchema(schema, objectMeta);
  switch (schema.type) {
    case "object":
      return objectSchema(schema, objectMeta);
    case "array":
      return listSchema(schema, objectMeta);
    case "string":
      return string;
    case "integer":
      return { kind: "scalar", type: schema.format === "int32" ? "int32" : "int64" };
    case "number":
      return { kind: "scalar", type: "double" };
    case "boolean":
      return { kind: "scalar", type: "boolean" };
    default:
      // Without a type there may stand what wants to, a list or a text as well.
      return schema.properties === undefined ? deducedSchema : objectSchema(schema, objectMeta);
  }
}

function objectSchema(schema: JsonSchemaProps, objectMeta: StructSchema): Schema {
  const additional = additionalOf(schema);
  const keepsUnknown = schema["x-kubernetes-preserve-unknown-fields"] === true || schema.additionalProperties === true;
  const hasFields = Object.keys(schema.properties ?? {}).length > 0;
  if (additional !== undefined && !hasFields) {
    return { kind: "map", values: convert(additional, objectMeta), mapType: mapTypeOf(schema), patchStrategy: [] };
  }
  if (hasFields || additional !== undefined || !keepsUnknown || mapTypeOf(schema) === "atomic") {
    return struct(fieldsOf(schema, objectMeta), mapTypeOf(schema), keepsUnknown);
  }
  return anything;
}

function listSchema(schema: JsonSchemaProps, objectMeta: StructSchema): ListSchema {
  const given = schema["x-kubernetes-list-type"];
  const items = itemsOf(schema);
  return {
    kind: "list",
    items: items === undefined ? anything : convert(items, objectMeta),
    listType: given === "set" || given === "map" ? given : "atomic",
    mapKeys: schema["x-kubernetes-list-map-keys"] ?? [],
    patchStrategy: [],
  };
}

function fieldsOf(schema: JsonSchemaProps, objectMeta: StructSchema): readonly FieldSchema[] {
  const names = new Set(schema.required);
  return Object.entries(schema.properties ?? {}).map(([name, property]) =>
    field(name, convert(property, objectMeta), property.default, names.has(name)),
  );
}

function field(name: string, schema: Schema, value: Json | undefined, isRequired: boolean): FieldSchema {
  const base = { name, schema, isRequired, isPointer: true, omitEmpty: true, patchStrategy: [] };
  return value === undefined ? base : { ...base, default: value };
}

function struct(
  fields: readonly FieldSchema[],
  mapType: "granular" | "atomic",
  preservesUnknownFields: boolean,
): StructSchema {
  const byName = new Map(fields.map((each) => [each.name, each]));
  return { kind: "struct", name: "", fields: byName, mapType, preservesUnknownFields };
}

function mapTypeOf(schema: JsonSchemaProps): "granular" | "atomic" {
  return schema["x-kubernetes-map-type"] === "atomic" ? "atomic" : "granular";
}
