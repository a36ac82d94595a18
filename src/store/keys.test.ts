import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compareKeys, firstKey } from "#store/keys.ts";

test("keys compare as their UTF-8 bytes do", () => {
  const text = fc.string({ unit: "binary", maxLength: 6 });
  const property = fc.property(text, text, text, (shared, a, b) => {
    const expected = Math.sign(Buffer.compare(Buffer.from(shared + a), Buffer.from(shared + b)));
    assert.equal(Math.sign(compareKeys(shared + a, shared + b)), expected);
  });

  fc.assert(property, { numRuns: 500 });
});

test("a range begins at its start key, but never before its prefix", () => {
  assert.equal(firstKey({ prefix: "/b" }), "/b");
  assert.equal(firstKey({ prefix: "/b", startKey: "/a" }), "/b");
  assert.equal(firstKey({ prefix: "/b", startKey: "/b1" }), "/b1");
});
