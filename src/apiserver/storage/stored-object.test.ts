import assert from "node:assert/strict";
import { test } from "node:test";
import { toStoredBytes, toStoredBytesSteps } from "./stored-object.ts";
import { createStoredResource } from "./stored-resource.ts";

const resource = createStoredResource({
  groupResource: "configmaps",
  isNamespaced: true,
  kind: "ConfigMap",
  apiVersion: "v1",
});

test("stored bytes hold no more memory than their own, for they live long", () => {
  const bytes = toStoredBytes(resource, { metadata: { name: "größe", namespace: "a" } });

  assert.equal(bytes.buffer.byteLength, bytes.length);
  assert.equal(bytes.toString(), '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"größe","namespace":"a"}}');
});

test("stored bytes made in steps are those made at once, in memory of their own", () => {
  const data = Object.fromEntries(Array.from({ length: 9000 }, (_, index) => [`k${index}`, `größe ${index}`]));
  const object = { apiVersion: "v1", metadata: { name: "a", resourceVersion: "7", labels: data }, data };

  const steps = toStoredBytesSteps(resource, object);
  let step = steps.next();
  while (step.done !== true) step = steps.next();

  assert.ok(step.value.equals(toStoredBytes(resource, object)));
  assert.equal(step.value.buffer.byteLength, step.value.length);
});
