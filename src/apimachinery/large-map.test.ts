import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJsonSteps } from "./codecs/json-pieces.ts";
import { cloneSmall, findLargeMap, keysOf, noteLargeMap } from "./large-map.ts";
import { applyMergePatchSteps } from "./patch/merge-patch.ts";
import { applyStrategicMergePatchSteps } from "./patch/strategic-merge-patch.ts";
import type { StructSchema } from "./schema.ts";
import { takeAtOnce } from "./steps.ts";

const many = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`key-${index}`, "v".repeat(20)]));

test("what is known of a map is not seen by those who copy, list or write it", () => {
  const map = { a: "b" };
  noteLargeMap(map, { keys: ["a"], characters: 1 });

  assert.deepEqual(Object.keys(map), ["a"]);
  assert.equal(JSON.stringify(map), '{"a":"b"}');
  assert.equal(findLargeMap({ ...map }), undefined);
  assert.deepEqual(map, { a: "b" });
});

test("a large object that was parsed in pieces knows its keys, each once, also when one stands twice", () => {
  const text = JSON.stringify({ data: many }).replace(/\}\}$/, ',"key-0":"again"}}');

  const { value } = takeAtOnce(parseJsonSteps(Buffer.from(text)));

  const { data } = value as { data: Record<string, string> };
  assert.equal(data["key-0"], "again");
  assert.notEqual(findLargeMap(data), undefined);
  assert.deepEqual(keysOf(data), Object.keys(data));
});

test("a copy shares what is large and nothing else", () => {
  const { value } = takeAtOnce(parseJsonSteps(Buffer.from(JSON.stringify({ data: many, metadata: { labels: {} } }))));
  const sent = value as { data: object; metadata: { labels: object } };

  const copy = cloneSmall(sent);

  assert.deepEqual(copy, sent);
  assert.equal(copy.data, sent.data);
  assert.notEqual(copy.metadata.labels, sent.metadata.labels);
});

test("a large strategic merge patch leaves a map that knows its keys, whether there was one before or not", () => {
  const any: StructSchema = {
    kind: "struct",
    name: "a.b.C",
    fields: new Map(),
    mapType: "granular",
    preservesUnknownFields: true,
  };
  const patch = takeAtOnce(parseJsonSteps(Buffer.from(JSON.stringify({ data: many })))).value;
  const mergedInto = (document: { readonly data?: Readonly<Record<string, string>> }): object =>
    takeAtOnce(applyStrategicMergePatchSteps(document, patch, any))["data"] as object;

  for (const data of [mergedInto({}), mergedInto({ data: { "key-1": "x", other: "y" } })]) {
    assert.notEqual(findLargeMap(data), undefined);
    assert.deepEqual([...keysOf(data)].sort(), Object.keys(data).sort());
  }
});

test("a large merge patch leaves a map that knows the keys of both, and none that was deleted", () => {
  const document = { data: { "key-1": "x", other: "y", gone: "z" } };
  const merge = (patch: object): Record<string, string> =>
    takeAtOnce(applyMergePatchSteps(document, takeAtOnce(parseJsonSteps(Buffer.from(JSON.stringify(patch)))).value))[
      "data"
    ] as Record<string, string>;

  const merged = merge({ data: many });
  const fewer = merge({ data: { ...many, gone: null } });

  assert.notEqual(findLargeMap(merged), undefined);
  for (const map of [merged, fewer]) assert.deepEqual([...keysOf(map)].sort(), Object.keys(map).sort());
  assert.ok(!keysOf(fewer).includes("gone"));
});
