/**
 * Makes the schema of a revision's pod specification out of the facts of core/v1: what a revision may have, with its types, and nothing else. Fields behind a feature keep
 * whatever they are given, so that the webhook can say that the feature is off.
 */
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import type { FieldSchema, ScalarType, Schema, StructSchema } from "#apimachinery/schema.ts";
import { described, quantity } from "#knative/crds/schema-parts.ts";
import { podWords } from "./pod-words.ts";
import { fieldMasks, type FieldMask } from "#serving/admission/field-masks.ts";

const scalars: Readonly<Record<ScalarType, JsonSchemaProps>> = {
  string: { type: "string" },
  boolean: { type: "boolean" },
  int32: { type: "integer", format: "int32" },
  int64: { type: "integer", format: "int64" },
  double: { type: "number" },
  bytes: { type: "string", format: "byte" },
  time: { type: "string", format: "date-time" },
  microTime: { type: "string", format: "date-time" },
  duration: { type: "string" },
  quantity,
  intOrString: { anyOf: [{ type: "integer" }, { type: "string" }], "x-kubernetes-int-or-string": true },
  any: { "x-kubernetes-preserve-unknown-fields": true },
};

/** Not required here: the webhook fills them in, or a probe may go without. */
const optional: readonly string[] = [
  "Container.name",
  "TCPSocketAction.port",
  "HTTPGetAction.port",
  "PodSpec.containers",
];

/** The masked schema of a struct of core/v1. */
export function factsSchema(struct: StructSchema): JsonSchemaProps {
  return structSchema(struct);
}

function schemaOf(schema: Schema): JsonSchemaProps {
  if (schema.kind === "scalar") {
    const { enum: values } = schema;
    return values === undefined ? scalars[schema.type] : { ...scalars[schema.type], enum: values };
  }
  if (schema.kind === "list") return { type: "array", items: schemaOf(schema.items) };
  if (schema.kind === "map") return { type: "object", additionalProperties: schemaOf(schema.values) };
  return structSchema(schema);
}

function structSchema(struct: StructSchema): JsonSchemaProps {
  const name = struct.name.slice(struct.name.lastIndexOf(".") + 1);
  const mask: FieldMask | undefined = (fieldMasks as Readonly<Record<string, FieldMask>>)[name];
  const fields = [...struct.fields.values()].filter((field) => mask === undefined || isKnown(name, field, mask));
  const properties = fields.map(
    (field) => [field.name, worded(`${name}.${field.name}`, fieldSchema(field, mask))] as const,
  );
  const required = fields
    .filter((field) => field.isRequired && !optional.includes(`${name}.${field.name}`))
    .map((field) => field.name);
  return {
    type: "object",
    properties: Object.fromEntries(properties),
    ...(required.length === 0 ? {} : { required }),
  };
}

function worded(name: string, schema: JsonSchemaProps): JsonSchemaProps {
  const words = podWords[name];
  return words === undefined ? schema : described(words, schema);
}

// What the webhook refuses with a word of its own must reach it.
const refusedAloud: Readonly<Record<string, readonly string[]>> = {
  PodSpec: ["securityContext", "automountServiceAccountToken"],
  Container: ["lifecycle"],
  SecurityContext: ["privileged"],
};

function isKnown(struct: string, { name }: FieldSchema, mask: FieldMask): boolean {
  return name in mask || (refusedAloud[struct] ?? []).includes(name);
}

function fieldSchema(field: FieldSchema, mask: FieldMask | undefined): JsonSchemaProps {
  const schema = schemaOf(field.schema);
  if (mask === undefined || mask[field.name] === true || field.schema.kind === "scalar") return schema;
  // Whole types of what is seldom allowed would make the schema several times as large.
  const keep: JsonSchemaProps = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  if (field.schema.kind === "list")
    return field.schema.items.kind === "scalar" ? schema : { type: "array", items: keep };
  return keep;
}
