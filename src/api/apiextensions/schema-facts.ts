/**
 * Questions about whole schemas of CustomResourceDefinitions: which formats and defaults occur in them, and what stands under a path.
 */
import { findFormat } from "#apimachinery/structural-schema/formats.ts";
import { additionalOf, itemsOf, type JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import type { JSONSchemaProps } from "#api/generated/types/apiextensions-v1.ts";

/** The same schema under the type that apimachinery works with; the generated one says less of unions. */
export function propsOf(schema: JSONSchemaProps): JsonSchemaProps {
  return schema as JsonSchemaProps;
}

/** The schema and all schemas in it. */
export function* allSchemas(schema: JsonSchemaProps): Generator<JsonSchemaProps> {
  yield schema;
  const inner = [
    itemsOf(schema),
    additionalOf(schema),
    schema.not,
    ...(schema.allOf ?? []),
    ...(schema.anyOf ?? []),
    ...(schema.oneOf ?? []),
    ...Object.values(schema.properties ?? {}),
  ];
  for (const each of inner) if (each !== undefined && each !== null) yield* allSchemas(each);
}

/** Formats that nothing checks; a client is warned of them. */
export function unrecognizedFormats(schema: JSONSchemaProps | undefined): readonly string[] {
  if (schema === undefined) return [];
  return [...allSchemas(propsOf(schema))].flatMap(({ type, format }) => {
    if (!format || isKnown(type ?? "", format)) return [];
    return [format];
  });
}

/** The schema under a simple path: `.spec.replicas`. Undefined when there is none. */
export function schemaAt(schema: JsonSchemaProps, path: string): JsonSchemaProps | undefined {
  return path
    .split(".")
    .slice(1)
    .reduce<JsonSchemaProps | undefined>((found, name) => found?.properties?.[name], schema);
}

function isKnown(type: string, format: string): boolean {
  if (type === "integer") return format === "int32" || format === "int64";
  if (type === "number") return format === "float" || format === "double";
  return (type === "" || type === "string") && findFormat(format) !== undefined;
}
