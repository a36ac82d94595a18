import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { writeJsonSteps } from "./json-write-steps.ts";

test("a value written in steps is the text that it is at once", () => {
  const many = fc.integer({ min: 0, max: 400 });
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), many, (a, b, count) => {
      const list = Array.from({ length: count }, (_, index) => (index % 3 === 0 ? a : b));
      const map = Object.fromEntries(list.map((item, index) => [`k${index}`, item]));
      const value = {
        a,
        list,
        map,
        none: undefined,
        inner: { list: [list, []], e: {}, n: [null, { b, u: undefined }] },
      };

      assert.equal([...writeJsonSteps(value)].join(""), JSON.stringify(value));
    }),
  );
});
