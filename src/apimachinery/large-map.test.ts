import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJsonSteps } from "./codecs/json-pieces.ts";
import { findLargeMap, keysOf, noteLargeMap } from "./large-map.ts";
import { applyMergePatchSteps } from "./patch/merge-patch.ts";
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
