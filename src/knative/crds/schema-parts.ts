/**
 * Pieces of schemas that the definitions of all of Knative's kinds are made of.
 */
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";

export const string: JsonSchemaProps = { type: "string" };
export const int64: JsonSchemaProps = { type: "integer", format: "int64" };
export const int32: JsonSchemaProps = { type: "integer", format: "int32" };
export const boolean: JsonSchemaProps = { type: "boolean" };
/** As the definitions of upstream's kinds have it. */
export const quantity: JsonSchemaProps = {
  anyOf: [{ type: "integer" }, { type: "string" }],
  pattern:
    "^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$",
  "x-kubernetes-int-or-string": true,
};
export const stringMap: JsonSchemaProps = { type: "object", additionalProperties: string };

/** An object with these fields, some of them required. */
export function object(
  properties: Readonly<Record<string, JsonSchemaProps>>,
  ...required: readonly string[]
): JsonSchemaProps {
  return { type: "object", properties, ...(required.length === 0 ? {} : { required }) };
}

/** The same, with what `kubectl explain` says of it. */
export function described(description: string, schema: JsonSchemaProps): JsonSchemaProps {
  return { ...schema, description };
}

/** A list. */
export function list(items: JsonSchemaProps): JsonSchemaProps {
  return { type: "array", items };
}

/** Fields of a condition. */
export const conditionFields: Readonly<Record<string, JsonSchemaProps>> = {
  type: string,
  status: string,
  severity: string,
  lastTransitionTime: string,
  reason: string,
  message: string,
};
const condition = object(conditionFields, "status", "type");

/** A status's conditions; `description` says which there are. */
export function conditions(description: string): JsonSchemaProps {
  return described(description, list(condition));
}

/** A status's observedGeneration. */
export const observedGeneration: JsonSchemaProps = described(
  "Which form of the object this status is about: its metadata.generation.",
  int64,
);

/** What every status begins with. */
export const duckStatus: Readonly<Record<string, JsonSchemaProps>> = {
  observedGeneration,
  conditions: conditions("How it stands. Ready sums up the others; those that are not True say why."),
  annotations: described("What else its controller notes.", stringMap),
};

/** Where something answers. */
export const address: JsonSchemaProps = described(
  "Where it answers.",
  object({ name: string, url: string, CACerts: string, audience: string }),
);

/** A reference to another object. */
export const reference: JsonSchemaProps = object({
  apiVersion: string,
  kind: string,
  name: string,
  namespace: string,
  group: string,
});
