import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import { functionDefinition } from "./function-definition.ts";

test("each field of a Function that people write has words for kubectl explain", () => {
  const definition = functionDefinition() as unknown as {
    readonly spec: { readonly versions: readonly [{ readonly schema: { readonly openAPIV3Schema: JsonSchemaProps } }] };
  };
  const { description, properties } = definition.spec.versions[0].schema.openAPIV3Schema;
  const wordless = (path: string, { properties: fields = {}, items }: JsonSchemaProps): readonly string[] => [
    ...Object.entries(fields).flatMap(([name, field]) => [
      ...(field.description === undefined ? [`${path}.${name}`] : []),
      ...wordless(`${path}.${name}`, field),
    ]),
    ...(items === undefined ? [] : wordless(path, items as JsonSchemaProps)),
  ];

  assert.ok(description);
  assert.deepEqual(wordless("spec", properties?.["spec"] ?? {}), []);
});
