import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import { eventingKinds } from "./custom-resources.ts";

describe("Eventing's kinds", () => {
  it("have words for kubectl explain: each kind, its spec and its status, and each field of its spec", () => {
    assert.ok(eventingKinds.length > 10);
    for (const { kind, schema } of eventingKinds) {
      const parts: readonly (readonly [string, { readonly description?: string }])[] = [
        [kind, schema],
        [`${kind}.spec`, schema.spec],
        [`${kind}.status`, schema.status],
        ...Object.entries(schema.spec.properties ?? {}).map(
          ([name, field]) => [`${kind}.spec.${name}`, field as JsonSchemaProps] as const,
        ),
      ];
      for (const [path, { description = "" }] of parts) assert.match(description, /^[A-Z"].*[.)]$/, path);
    }
  });

  it("take text as the value of an attribute, and nothing else", () => {
    const trigger = eventingKinds.find(({ kind }) => kind === "Trigger")?.schema.spec.properties ?? {};
    const exact = trigger["filters"]?.items as JsonSchemaProps | undefined;

    assert.deepEqual(trigger["filter"]?.properties?.["attributes"]?.additionalProperties, { type: "string" });
    assert.deepEqual(exact?.properties?.["exact"]?.additionalProperties, { type: "string" });
  });
});
