import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonSchemaProps, ValidationRule } from "#apimachinery/structural-schema/json-schema-props.ts";
import { validateRules } from "./validate-rules.ts";

function problems(schema: JsonSchemaProps): readonly string[] {
  return validateRules({ type: "object", properties: { spec: schema } }, "schema").map(
    ({ field, message }) => `${field}: ${message}`,
  );
}

function withRule(rule: Partial<ValidationRule>): JsonSchemaProps {
  const properties = { x: { type: "integer" }, text: { type: "string", maxLength: 10 } };
  return { type: "object", properties, "x-kubernetes-validations": [rule as ValidationRule] };
}

test("a good rule passes", () => {
  assert.deepEqual(
    problems(withRule({ rule: "self.x > 1 && self.text.matches('^a')", fieldPath: ".x", reason: "FieldValueInvalid" })),
    [],
  );
});

test("expressions that cannot work are refused", () => {
  const at = "schema.properties[spec].x-kubernetes-validations[0]";
  const first = (rule: Partial<ValidationRule>): string => problems(withRule(rule))[0] ?? "";
  assert.match(first({ rule: "self.z == 100" }), /undefined field 'z'/);
  assert.match(first({ rule: "self = 42" }), /Syntax error/);
  assert.match(first({ rule: "self.x" }), /cel expression must evaluate to a bool/);
  assert.match(first({ rule: "true", messageExpression: "self.x" }), /messageExpression must evaluate to a string/);
  assert.equal(first({ rule: " " }), `${at}.rule: Required value: rule is not specified`);
  assert.equal(first({ rule: "true", fieldPath: ".y" }), `${at}.fieldPath: Invalid value: ".y": must be a valid path`);
  assert.match(first({ rule: "true", reason: "Other" }), /Unsupported value: "Other"/);
  assert.match(first({ rule: "true\n&& true" }), /message must be specified if rule contains line breaks/);
  assert.match(first({ rule: "true", optionalOldSelf: true }), /may not be set if oldSelf is not used in rule/);
});

test("rules over lists without an end are refused, those within bounds are not", () => {
  const rules = [{ rule: "self.all(s, s == 'string constant')" }];
  const inner: JsonSchemaProps = { type: "array", items: { type: "string" }, "x-kubernetes-validations": rules };
  assert.match(
    problems({ type: "array", items: inner })[0] as string,
    /estimated rule cost exceeds budget by factor of more than 100x/,
  );
  assert.deepEqual(problems({ type: "array", maxItems: 10, items: { ...inner, maxItems: 10 } }), []);
});

test("conversions of texts and lookups in maps cost the same for values of any length, as Istio's definitions count on", () => {
  const ruled = (rule: string, type: JsonSchemaProps): JsonSchemaProps => ({
    ...type,
    "x-kubernetes-validations": [{ rule }],
  });
  const list = (inner: JsonSchemaProps): JsonSchemaProps => ({
    type: "array",
    items: { type: "object", properties: { inner } },
  });
  const texts: JsonSchemaProps = { type: "object", additionalProperties: { type: "string" } };

  assert.deepEqual(problems(list(ruled("duration(self) >= duration('1ms')", { type: "string" }))), []);
  assert.deepEqual(problems(list(ruled("!('a' in self)", texts))), []);
  assert.match(problems(list(ruled("self.contains('a')", { type: "string" })))[0] ?? "", /exceeds budget/);
});

test("rules that look back need a place with a past", () => {
  const items: JsonSchemaProps = {
    type: "string",
    maxLength: 5,
    "x-kubernetes-validations": [{ rule: "self == oldSelf" }],
  };
  const [found] = problems({ type: "array", maxItems: 3, items });
  assert.match(
    found as string,
    /oldSelf cannot be used on the uncorrelatable portion of the schema within schema\.properties\[spec\]/,
  );
});
