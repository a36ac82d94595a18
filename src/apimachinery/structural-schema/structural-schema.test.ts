import assert from "node:assert/strict";
import { test } from "node:test";
import type { FieldError } from "#apimachinery/field-error.ts";
import type { JsonObject } from "#apimachinery/json.ts";
import type { StructSchema } from "#apimachinery/schema.ts";
import { CustomResourceSchema } from "./custom-resource-schema.ts";
import { findFormat } from "./formats.ts";
import type { JsonSchemaProps } from "./json-schema-props.ts";
import { structuralProblems } from "./structural-check.ts";

const objectMeta: StructSchema = {
  kind: "struct",
  name: "ObjectMeta",
  fields: new Map(),
  mapType: "granular",
  preservesUnknownFields: true,
};

function object(properties: Readonly<Record<string, JsonSchemaProps>>, more: JsonSchemaProps = {}): JsonSchemaProps {
  return { type: "object", properties, ...more };
}

function compile(spec: JsonSchemaProps): CustomResourceSchema {
  return new CustomResourceSchema(object({ spec }), objectMeta);
}

function errorsOf(spec: JsonSchemaProps, value: unknown, old?: unknown): readonly string[] {
  const before = old === undefined ? undefined : ({ spec: old } as JsonObject);
  return compile(spec)
    .validate({ spec: value } as JsonObject, before)
    .map(textOf);
}

function textOf(error: FieldError): string {
  return `${error.field}: ${error.message}`;
}

test("schemas that are not structural are refused in upstream's words", () => {
  const problems = (schema: JsonSchemaProps): readonly string[] => structuralProblems(schema, "s").map(textOf);
  assert.deepEqual(problems(object({ a: { type: "string" } })), []);
  assert.deepEqual(problems({ properties: { a: {} } }), [
    "s.properties[a].type: Required value: must not be empty for specified object fields",
    "s.type: Required value: must not be empty at the root",
  ]);
  assert.deepEqual(problems(object({ a: { type: "array" } })), [
    "s.properties[a].items: Required value: must be specified",
  ]);
  assert.deepEqual(problems(object({ a: { type: "string", allOf: [{ type: "string", default: "x" }] } })), [
    "s.properties[a].allOf[0].default: Forbidden: must be undefined to be structural",
    "s.properties[a].allOf[0].type: Forbidden: must be empty to be structural",
  ]);
  assert.deepEqual(problems(object({}, { anyOf: [{ properties: { b: { minimum: 1 } } }] })), [
    "s.properties[b]: Required value: because it is defined in s.anyOf[0].properties[b]",
  ]);
  const intOrString = { "x-kubernetes-int-or-string": true, anyOf: [{ type: "integer" }, { type: "string" }] };
  assert.deepEqual(problems(object({ a: intOrString })), []);
  assert.match(
    problems(object({ a: { type: "string", pattern: "(" } }))[0] as string,
    /must be a valid regular expression/,
  );
  assert.deepEqual(
    problems(object({ metadata: { type: "object", properties: { name: { type: "string", maxLength: 5 } } } })),
    [],
  );
});

test("wrong types and values are told in upstream's words", () => {
  const spec = object(
    {
      n: { type: "integer", format: "int32", minimum: 1, maximum: 5 },
      s: { type: "string", minLength: 2, maxLength: 3, pattern: "^a" },
      e: { type: "string", enum: ["b", "a"] },
    },
    { required: ["n"] },
  );
  assert.deepEqual(errorsOf(spec, { n: 2, s: "ab", e: "a" }), []);
  assert.deepEqual(errorsOf(spec, {}), ["spec.n: Required value"]);
  assert.deepEqual(errorsOf(spec, { n: "x" }), [
    'spec.n: Invalid value: "string": spec.n in body must be of type integer: "string"',
  ]);
  assert.deepEqual(errorsOf(spec, { n: 9 }), [
    "spec.n: Invalid value: 9: spec.n in body should be less than or equal to 5",
  ]);
  assert.deepEqual(errorsOf(spec, { n: null }), [
    'spec.n: Invalid value: "null": spec.n in body must be of type integer: "null"',
  ]);
  assert.deepEqual(errorsOf(spec, { n: 1, s: "a" }), [
    'spec.s: Invalid value: "a": spec.s in body should be at least 2 chars long',
  ]);
  assert.deepEqual(errorsOf(spec, { n: 1, s: "abcd" }), ["spec.s: Too long: may not be more than 3 bytes"]);
  assert.deepEqual(errorsOf(spec, { n: 1, s: "bb" }), [
    `spec.s: Invalid value: "bb": spec.s in body should match '^a'`,
  ]);
  assert.deepEqual(errorsOf(spec, { n: 1, e: "c" }), ['spec.e: Unsupported value: "c": supported values: "b", "a"']);
});

test("composed schemas say which alternative is missing", () => {
  const spec = object(
    { a: { type: "string" }, b: { type: "string" } },
    { oneOf: [{ required: ["a"] }, { required: ["b"] }] },
  );
  assert.deepEqual(errorsOf(spec, { a: "x" }), []);
  assert.deepEqual(errorsOf(spec, { a: "x", b: "y" }), [
    '<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives',
  ]);
  assert.deepEqual(errorsOf(spec, {}), [
    '<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found none valid',
    "spec.a: Required value",
  ]);
});

test("sets and maps hold nothing twice", () => {
  const set: JsonSchemaProps = { type: "array", items: { type: "string" }, "x-kubernetes-list-type": "set" };
  assert.deepEqual(errorsOf(set, ["a", "b", "a"]), ['spec[2]: Duplicate value: "a"']);
  const map: JsonSchemaProps = {
    type: "array",
    items: object({ name: { type: "string" }, port: { type: "integer" } }),
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
  };
  assert.deepEqual(errorsOf(map, [{ name: "a" }, { name: "a", port: 1 }]), ['spec[1]: Duplicate value: {"name":"a"}']);
});

test("an update does not suffer from what was wrong before", () => {
  const spec = object({ a: { type: "string", maxLength: 1 }, b: { type: "string", maxLength: 1 } });
  assert.deepEqual(errorsOf(spec, { a: "long", b: "x" }, { a: "long" }), []);
  assert.deepEqual(errorsOf(spec, { a: "other", b: "x" }, { a: "long" }), [
    "spec.a: Too long: may not be more than 1 bytes",
  ]);
});

test("numbers and strings are both fine for int-or-string", () => {
  const spec: JsonSchemaProps = { "x-kubernetes-int-or-string": true };
  assert.deepEqual(errorsOf(spec, 1), []);
  assert.deepEqual(errorsOf(spec, "50%"), []);
  assert.deepEqual(errorsOf(spec, true), [
    'spec: Invalid value: "boolean": spec in body must be of type integer,string: "boolean"',
  ]);
});

test("defaults are filled in at all depths, also for nulls that are not allowed", () => {
  const spec = object({
    a: { type: "string", default: "x" },
    o: object({ p: { type: "integer", default: 1 } }, { default: {} }),
    l: { type: "array", items: object({ q: { type: "boolean", default: true } }) },
    m: { type: "object", additionalProperties: object({ r: { type: "string", default: "y" } }) },
    n: { type: "string", nullable: true, default: "z" },
    gone: { type: "string" },
  });
  const given = { spec: { a: null, l: [{}], m: { k: {} }, n: null, gone: null } };
  const frozen = JSON.stringify(given);
  assert.deepEqual(compile(spec).withDefaults(given), {
    spec: { a: "x", o: { p: 1 }, l: [{ q: true }], m: { k: { r: "y" } }, n: null },
  });
  assert.equal(JSON.stringify(given), frozen);
  const complete = { spec: { a: "b", o: { p: 2 }, n: "c" } };
  assert.equal(compile(spec).withDefaults(complete), complete);
});

test("the schema for reading and applying keeps what the CRD says to keep", () => {
  const { schema } = compile(
    object({
      raw: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
      ports: { type: "array", items: { type: "integer" }, "x-kubernetes-list-type": "set" },
    }),
  );
  const spec = schema.fields.get("spec")?.schema as StructSchema;
  assert.equal(spec.preservesUnknownFields, false);
  const raw = spec.fields.get("raw")?.schema;
  assert.equal(raw?.kind === "struct" && raw.preservesUnknownFields, true);
  assert.equal(schema.fields.get("metadata")?.schema, objectMeta);
  const ports = spec.fields.get("ports")?.schema;
  assert.equal(ports?.kind === "list" ? ports.listType : "", "set");
});

test("formats that upstream knows are checked, others ignored", () => {
  const good: Readonly<Record<string, string>> = {
    "date-time": "2026-01-01T00:00:00.5Z",
    date: "2026-02-28",
    duration: "1h2m",
    ipv4: "1.2.3.4",
    ipv6: "::1",
    cidr: "10.0.0.0/8",
    uri: "https://a.b/c",
    email: "a@b.c",
    hostname: "a.b.com",
    uuid: "123e4567-e89b-12d3-a456-426614174000",
    byte: "aGk=",
    mac: "00:00:5e:00:53:01",
    isbn: "978-0321751041",
    creditcard: "4111-1111-1111-1111",
    rgbcolor: "rgb(1,2,3)",
  };
  for (const [format, text] of Object.entries(good)) {
    assert.equal(findFormat(format)?.(text), true, format);
    if (format !== "hostname") assert.equal(findFormat(format)?.("~ no ~"), false, format);
  }
  assert.equal(findFormat("anything-else"), undefined);
  assert.deepEqual(errorsOf({ type: "string", format: "date-time" }, "x"), [
    'spec: Invalid value: "x": spec in body must be of type date-time: "x"',
  ]);
});
