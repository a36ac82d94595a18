/**
 * Objects too large for one turn of the event loop, read and owned in steps: the same must come out as when it is done at once.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readObject, readObjectSteps } from "#apimachinery/codecs/object-reader.ts";
import type { JsonObject } from "#apimachinery/json.ts";
import { allOf, type Later } from "#apimachinery/managed-fields/large-collections.ts";
import { createdFields } from "#apimachinery/managed-fields/typed-create.ts";
import { takeAtOnce } from "#apimachinery/steps.ts";
import type { StructSchema } from "#apimachinery/schema.ts";
import { loadKindFacts } from "./kind-facts-table.ts";

const facts = loadKindFacts();
const COUNT = 5000;

const variables = Array.from({ length: COUNT }, (_, index) => ({
  name: `V${(index * 7919) % COUNT}`,
  value: index % 9 === 0 ? "" : "v",
  ...(index % 1000 === 7 ? { unknown: index } : {}),
}));
const keys = Object.fromEntries(Array.from({ length: COUNT }, (_, index) => [`k${(index * 7919) % COUNT}`, null]));
const data = Object.fromEntries(Object.keys(keys).map((key) => [key, key]));

const objects: readonly JsonObject[] = [
  { kind: "ConfigMap", apiVersion: "v1", metadata: { name: "a", labels: data }, data: { ...data, __proto__: "x" } },
  { kind: "ConfigMap", apiVersion: "v1", metadata: { name: "a" }, data: keys, binaryData: {} },
  {
    kind: "Pod",
    apiVersion: "v1",
    metadata: { name: "p", finalizers: Object.keys(data) },
    spec: {
      containers: [
        {
          name: "b",
          image: "i",
          env: [...variables, { name: "V7", value: "again" }],
          other: 1,
          args: Object.keys(data),
        },
        { name: "a", env: variables, ports: [] },
      ],
      nodeSelector: data,
    },
  },
];

/** Values of a wrong type, here and there. */
const wrong: readonly JsonObject[] = [
  { kind: "ConfigMap", apiVersion: "v1", data: { ...data, k99: 1, k8: false } },
  { kind: "Pod", apiVersion: "v1", spec: { containers: [{ name: 5, env: [...variables, { name: 1 }, "x"] }] } },
  {
    kind: "Pod",
    apiVersion: "v1",
    metadata: { creationTimestamp: "no" },
    spec: { containers: [{ env: [...variables, 1] }] },
  },
];

test("an object of thousands of unknown fields, read in steps, is what it is at once", () => {
  const unknown = Object.fromEntries(Object.keys(data).map((key) => [key, { a: [{ b: 1 }] }]));
  const object: JsonObject = { kind: "Pod", apiVersion: "v1", spec: { containers: [{ name: "a", ...unknown }] } };
  const atOnce = readObject(schemaOf(object), object);

  const read = takeAtOnce(readObjectSteps(schemaOf(object), object));

  assert.deepEqual(read, atOnce);
  assert.equal(read.unknownFields[0], "spec.containers[0].k0");
});

test("a large object read in steps is what it is at once", () => {
  for (const object of objects) {
    const atOnce = readObject(schemaOf(object), object);

    const read = takeAtOnce(readObjectSteps(schemaOf(object), object));

    assert.equal(JSON.stringify(read.object), JSON.stringify(atOnce.object));
    assert.equal(read.memberCount, atOnce.memberCount);
    assert.deepEqual(read.unknownFields.toSorted(), atOnce.unknownFields.toSorted());
  }
});

test("a large object with values of a wrong type is refused with the same words", () => {
  for (const object of wrong) {
    assert.equal(
      messageOf(() => takeAtOnce(readObjectSteps(schemaOf(object), object))),
      messageOf(() => readObject(schemaOf(object), object)),
    );
  }
});

test("the fields of a large new object, found in steps, are those found at once, in the same order", () => {
  for (const object of objects) {
    const { object: read } = readObject(schemaOf(object), object);
    const later: Later = [];

    const set = createdFields(read as JsonObject, schemaOf(object), later);
    assert.ok(later.length > 0);
    takeAtOnce(allOf(later));

    assert.equal(JSON.stringify(set), JSON.stringify(createdFields(read as JsonObject, schemaOf(object))));
  }
});

function schemaOf(object: JsonObject): StructSchema {
  return facts.schemaOf("", "v1", object["kind"] as string) as StructSchema;
}

function messageOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("was not refused");
}
