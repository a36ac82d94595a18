import assert from "node:assert/strict";
import { test } from "node:test";
import { toStoredBytes } from "./stored-object.ts";
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
