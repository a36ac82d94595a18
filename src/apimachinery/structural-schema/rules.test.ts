import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "#apimachinery/json.ts";
import { CustomResourceSchema } from "./custom-resource-schema.ts";
import type { JsonSchemaProps, ValidationRule } from "./json-schema-props.ts";

const META = { type: "struct", fields: {} } as never;

/** What is wrong with an object whose spec has these fields and rules. */
function problems(spec: JsonSchemaProps, object: JsonObject, old?: JsonObject): readonly string[] {
  const schema = new CustomResourceSchema({ type: "object", properties: { spec: { type: "object", ...spec } } }, META);
  return schema.validate(object, old).map(({ field, message }) => `${field}: ${message}`);
}

function withRule(
  rule: Partial<ValidationRule>,
  properties: Readonly<Record<string, JsonSchemaProps>>,
): JsonSchemaProps {
  return { properties, "x-kubernetes-validations": [rule as ValidationRule] };
}

const numbers = { x: { type: "integer" }, y: { type: "integer" } } as const;

test("a rule that does not hold is an error at its place, in upstream's words", () => {
  const schema = withRule({ rule: "self.x > self.y" }, numbers);
  assert.deepEqual(problems(schema, { spec: { x: 2, y: 1 } }), []);
  assert.deepEqual(problems(schema, { spec: { x: 1, y: 1 } }), ["spec: Invalid value: failed rule: self.x > self.y"]);
  assert.deepEqual(problems(schema, { spec: { x: 1 } }), [
    'spec: Invalid value: "object": no such key: y evaluating rule: self.x > self.y',
  ]);
  assert.deepEqual(problems(schema, {}), []);
});

test("message, messageExpression, fieldPath and reason shape the error", () => {
  const rule = { rule: "self.x > 1", message: "too small", fieldPath: ".x" };
  assert.deepEqual(problems(withRule(rule, numbers), { spec: { x: 1 } }), ["spec.x: Invalid value: too small"]);
  const reasoned = { ...rule, reason: "FieldValueForbidden" };
  assert.deepEqual(problems(withRule(reasoned, numbers), { spec: { x: 1 } }), ["spec.x: Forbidden: too small"]);
  const spoken = { ...rule, messageExpression: "'x is ' + string(self.x)" };
  assert.deepEqual(problems(withRule(spoken, numbers), { spec: { x: 1 } }), ["spec.x: Invalid value: x is 1"]);
  const silent = { ...rule, messageExpression: "self.y > 0 ? 'a' : ''" };
  assert.deepEqual(problems(withRule(silent, numbers), { spec: { x: 1 } }), ["spec.x: Invalid value: too small"]);
});

test("a scalar is shown with its error, rules of list items have their index", () => {
  const items: JsonSchemaProps = { type: "string", "x-kubernetes-validations": [{ rule: "self.startsWith('a')" }] };
  const found = problems({ properties: { list: { type: "array", items } } }, { spec: { list: ["a", "b"] } });
  assert.deepEqual(found, [`spec.list[1]: Invalid value: "b": failed rule: self.startsWith('a')`]);
});

test("rules that look back are evaluated on updates only, against what stood there", () => {
  const num: JsonSchemaProps = { type: "integer", "x-kubernetes-validations": [{ rule: "self > oldSelf" }] };
  const schema = { properties: { num } };
  assert.deepEqual(problems(schema, { spec: { num: 10 } }), []);
  assert.deepEqual(problems(schema, { spec: { num: 9 } }, { spec: { num: 10 } }), [
    "spec.num: Invalid value: 9: failed rule: self > oldSelf",
  ]);
  const immutable = withRule({ rule: "self == oldSelf", message: "immutable" }, numbers);
  assert.deepEqual(problems(immutable, { spec: { x: 1 } }, { spec: { x: 1 } }), []);
  assert.deepEqual(problems(immutable, { spec: { x: 2 } }, { spec: { x: 1 } }), ["spec: Invalid value: immutable"]);
});

test("oldSelf is optional where a rule says so", () => {
  const rule = { rule: "oldSelf.hasValue() || self.x == 0", optionalOldSelf: true };
  assert.deepEqual(problems(withRule(rule, numbers), { spec: { x: 0 } }), []);
  assert.equal(problems(withRule(rule, numbers), { spec: { x: 1 } }).length, 1);
  assert.deepEqual(problems(withRule(rule, numbers), { spec: { x: 1 } }, { spec: { x: 1 } }), []);
});

test("items of lists with keys are compared with the item of the same key", () => {
  const item: JsonSchemaProps = {
    type: "object",
    properties: {
      name: { type: "string" },
      n: { type: "integer", "x-kubernetes-validations": [{ rule: "self >= oldSelf" }] },
    },
  };
  const list: JsonSchemaProps = {
    type: "array",
    items: item,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
  };
  const old = {
    spec: {
      list: [
        { name: "a", n: 2 },
        { name: "b", n: 2 },
      ],
    },
  };
  const found = problems(
    { properties: { list } },
    {
      spec: {
        list: [
          { name: "b", n: 1 },
          { name: "c", n: 1 },
        ],
      },
    },
    old,
  );
  assert.deepEqual(found, ["spec.list[0].n: Invalid value: 1: failed rule: self >= oldSelf"]);
});

test("what an update leaves as it was is not judged again", () => {
  const schema = withRule({ rule: "self.x > 5" }, numbers);
  assert.deepEqual(problems(schema, { spec: { x: 1 } }, { spec: { x: 1 } }), []);
  assert.equal(problems(schema, { spec: { x: 2 } }, { spec: { x: 1 } }).length, 1);
});

test("rules wait until types are right", () => {
  const schema = withRule({ rule: "self.x > 5" }, numbers);
  const found = problems(schema, { spec: { x: "a" } });
  assert.equal(found.length, 2);
  assert.match(
    found[1] as string,
    /^<nil>: Invalid value: null: some validation rules were not checked because the object was invalid/,
  );
});

test("rules of the whole object see its metadata and kind", () => {
  const rules = [{ rule: "self.metadata.name == 'a' && self.kind == 'CronTab'", message: "name" }];
  const schema = new CustomResourceSchema({ type: "object", "x-kubernetes-validations": rules }, META);
  assert.deepEqual(schema.validate({ apiVersion: "x/v1", kind: "CronTab", metadata: { name: "a" } }), []);
  const [error] = schema.validate({ apiVersion: "x/v1", kind: "CronTab", metadata: { name: "b" } });
  assert.equal(`${error?.field}: ${error?.message}`, "<nil>: Invalid value: name");
});

test("a rule over too much data ends the validation", () => {
  const large: JsonSchemaProps = { type: "array", maxItems: 725, items: { type: "integer" } };
  const schema = withRule({ rule: "self.large.all(x, self.large.all(y, y == x))" }, { large });
  const found = problems(schema, { spec: { large: Array.from({ length: 725 }, () => 20) } });
  assert.match(
    found[0] as string,
    /'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule/,
  );
});
