/**
 * A CustomResourceDefinition's OpenAPI v3 schema, as it stands in `spec.versions[].schema.openAPIV3Schema`.
 */
import type { Json } from "#apimachinery/meta.ts";

/** A schema. `x-kubernetes-…` keys have upstream's meaning. */
export type JsonSchemaProps = {
  readonly description?: string;
  readonly title?: string;
  readonly type?: string;
  readonly format?: string;
  readonly default?: Json;
  readonly nullable?: boolean;
  readonly maximum?: number;
  readonly exclusiveMaximum?: boolean;
  readonly minimum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly maxLength?: number;
  readonly minLength?: number;
  readonly pattern?: string;
  readonly maxItems?: number;
  readonly minItems?: number;
  readonly uniqueItems?: boolean;
  readonly multipleOf?: number;
  readonly enum?: readonly Json[];
  readonly maxProperties?: number;
  readonly minProperties?: number;
  readonly required?: readonly string[];
  readonly items?: JsonSchemaProps | readonly JsonSchemaProps[];
  readonly allOf?: readonly JsonSchemaProps[];
  readonly oneOf?: readonly JsonSchemaProps[];
  readonly anyOf?: readonly JsonSchemaProps[];
  readonly not?: JsonSchemaProps;
  readonly properties?: Readonly<Record<string, JsonSchemaProps>>;
  readonly additionalProperties?: JsonSchemaProps | boolean;
  readonly patternProperties?: Readonly<Record<string, JsonSchemaProps>>;
  readonly dependencies?: Readonly<Record<string, unknown>>;
  readonly additionalItems?: JsonSchemaProps | boolean;
  readonly definitions?: Readonly<Record<string, JsonSchemaProps>>;
  readonly externalDocs?: Json;
  readonly example?: Json;
  readonly id?: string;
  readonly $schema?: string;
  readonly $ref?: string;
  readonly "x-kubernetes-preserve-unknown-fields"?: boolean;
  readonly "x-kubernetes-embedded-resource"?: boolean;
  readonly "x-kubernetes-int-or-string"?: boolean;
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-list-type"?: string;
  readonly "x-kubernetes-map-type"?: string;
  readonly "x-kubernetes-validations"?: readonly ValidationRule[];
};

/** A rule in CEL. */
export type ValidationRule = {
  readonly rule: string;
  readonly message?: string;
  readonly messageExpression?: string;
  readonly reason?: string;
  readonly fieldPath?: string;
  readonly optionalOldSelf?: boolean;
};

/** The schema of a list's items; the form with one schema per position does not occur in structural schemas. */
export function itemsOf(schema: JsonSchemaProps): JsonSchemaProps | undefined {
  const { items } = schema;
  return items === undefined || items === null || Array.isArray(items) ? undefined : (items as JsonSchemaProps);
}

/** The schema of free keys, when there is one: `additionalProperties: true` has none. */
export function additionalOf(schema: JsonSchemaProps): JsonSchemaProps | undefined {
  return typeof schema.additionalProperties === "object" && schema.additionalProperties !== null
    ? schema.additionalProperties
    : undefined;
}

/** The schema of a field: its own, or that of free keys. */
export function propertyOf(schema: JsonSchemaProps, key: string): JsonSchemaProps | undefined {
  const { properties } = schema;
  return properties !== undefined && Object.hasOwn(properties, key) ? properties[key] : additionalOf(schema);
}
