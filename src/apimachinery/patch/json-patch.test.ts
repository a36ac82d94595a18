import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { JsonObject } from "#apimachinery/json.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import { applyJsonPatch } from "./json-patch.ts";
import { applyMergePatch, createMergePatch } from "./merge-patch.ts";

const document = { a: { b: [1, 2, 3] }, "c/d": "x", "e~f": null };

function patched(...operations: readonly unknown[]): JsonObject {
  const before = JSON.stringify(document);
  const result = applyJsonPatch(document, operations);
  assert.equal(JSON.stringify(document), before, "the document must not change");
  return result;
}

function causeOf(...operations: readonly unknown[]): string | undefined {
  try {
    patched(...operations);
  } catch (error) {
    assert.ok(error instanceof StatusError);
    assert.equal(error.code, 422);
    assert.equal(error.message, "the server rejected our request due to an error in our request");
    return error.details?.causes?.[0]?.message;
  }
  return undefined;
}

test("all operations work on objects and lists", () => {
  assert.deepEqual(patched({ op: "add", path: "/a/b/1", value: 9 })["a"], { b: [1, 9, 2, 3] });
  assert.deepEqual(patched({ op: "add", path: "/a/b/-", value: 9 })["a"], { b: [1, 2, 3, 9] });
  assert.deepEqual(patched({ op: "remove", path: "/a/b/0" })["a"], { b: [2, 3] });
  assert.deepEqual(patched({ op: "remove", path: "/a/b/-1" })["a"], { b: [1, 2] });
  assert.deepEqual(patched({ op: "replace", path: "/c~1d", value: "y" })["c/d"], "y");
  assert.deepEqual(patched({ op: "move", from: "/c~1d", path: "/a/z" })["a"], { b: [1, 2, 3], z: "x" });
  assert.deepEqual(patched({ op: "test", path: "/e~0f", value: null }, { op: "test", path: "/none" }), document);
});

test("a copy and its source change apart from each other", () => {
  const result = patched(
    { op: "copy", from: "/a", path: "/copy" },
    { op: "add", path: "/copy/b/-", value: 4 },
    { op: "remove", path: "/a/b/0" },
  );
  assert.deepEqual(result["copy"], { b: [1, 2, 3, 4] });
  assert.deepEqual(result["a"], { b: [2, 3] });
});

test("a value that the patch adds twice is not shared between its places", () => {
  const value = { list: [] };
  const result = applyJsonPatch({}, [
    { op: "add", path: "/x", value },
    { op: "add", path: "/y", value },
    { op: "add", path: "/x/list/-", value: 1 },
  ]);
  assert.deepEqual(result, { x: { list: [1] }, y: { list: [] } });
  assert.deepEqual(value, { list: [] });
});

test("failing operations say why, in upstream's words, as a cause", () => {
  assert.equal(causeOf({ op: "test", path: "/c~1d", value: "z" }), "testing value /c~1d failed: test failed");
  assert.equal(
    causeOf({ op: "add", path: "/no/way", value: 1 }),
    'add operation does not apply: doc is missing path: "/no/way": missing value',
  );
  assert.equal(
    causeOf({ op: "remove", path: "/nope" }),
    "error in remove for path: '/nope': Unable to remove nonexistent key: nope: missing value",
  );
  assert.equal(
    causeOf({ op: "add", path: "/a/b/9", value: 1 }),
    "error in add for path: '/a/b/9': Unable to access invalid index: 9: invalid index referenced",
  );
  assert.equal(causeOf({ op: "fly", path: "/a" }), "Unexpected kind: fly");
});

test("more than 10,000 operations and patches that are none are refused", () => {
  const many = Array.from({ length: 10_001 }, () => ({ op: "test", path: "/a", value: 1 }));
  assert.throws(() => applyJsonPatch({}, many), { code: 413, reason: "RequestEntityTooLarge" });
  assert.throws(() => applyJsonPatch({}, {}), { code: 400 });
});

test("copies that double the document again and again hit a limit", () => {
  const doubling = Array.from({ length: 60 }, (_, index) => ({ op: "copy", from: "/a", path: `/a/${index}` }));
  assert.throws(() => applyJsonPatch({ a: { x: "y".repeat(100) } }, doubling), { code: 422 });
});

test("keys named like object internals are ordinary keys", () => {
  const result = applyJsonPatch({}, JSON.parse('[{"op":"add","path":"/__proto__","value":{"x":1}}]'));
  assert.equal(Object.getPrototypeOf(result), Object.prototype);
  assert.equal(causeOf({ op: "add", path: "/constructor/x", value: 1 })?.includes("missing path"), true);
  const merged = applyMergePatch({}, JSON.parse('{"__proto__":{"x":1}}'));
  assert.equal(Object.getPrototypeOf(merged), Object.prototype);
  assert.deepEqual(JSON.stringify(merged), '{"__proto__":{"x":1}}');
});

test("merge patches merge objects, delete by null and replace the rest", () => {
  const merged = applyMergePatch({ a: { b: 1, c: 2 }, d: [1] }, { a: { b: null, x: { y: null, z: 1 } }, d: [2] });
  assert.deepEqual(merged, { a: { c: 2, x: { z: 1 } }, d: [2] });
  assert.throws(() => applyMergePatch({}, []), { code: 400, message: "Invalid JSON Patch" });
});

test("a merge patch made from two documents leads from one to the other", () => {
  const leaf = fc.oneof(fc.integer(), fc.string(), fc.array(fc.integer(), { maxLength: 2 }));
  const inner = fc.dictionary(fc.constantFrom("a", "b", "c"), leaf, { noNullPrototype: true });
  const documents = fc.dictionary(fc.constantFrom("x", "y", "z"), fc.oneof(leaf, inner), { noNullPrototype: true });
  fc.assert(
    fc.property(documents, documents, (from, to) => {
      const patch = createMergePatch(from, to);
      assert.equal(JSON.stringify(sorted(applyMergePatch(from, patch))), JSON.stringify(sorted(to)));
    }),
  );
});

function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}
