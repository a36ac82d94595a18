import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  difference,
  type FieldSet,
  fieldTexts,
  intersection,
  leaf,
  recursiveDifference,
  setOfField,
  sortedSet,
  union,
} from "./field-set.ts";

const paths = fc.array(fc.array(fc.constantFrom("f:a", "f:b", 'k:{"name":"x"}'), { minLength: 1, maxLength: 3 }), {
  maxLength: 6,
});

function setOf(list: readonly (readonly string[])[]): FieldSet {
  return list.map((path) => setOfField(path)).reduce<FieldSet>(union, leaf);
}

function members(set: FieldSet): readonly string[] {
  return [...fieldTexts(set)].sort();
}

test("union, intersection and difference are those of the members", () => {
  fc.assert(
    fc.property(paths, paths, (left, right) => {
      const a = setOf(left);
      const b = setOf(right);
      const inA = new Set(fieldTexts(a));
      const inB = new Set(fieldTexts(b));
      assert.deepEqual(members(union(a, b)), [...new Set([...inA, ...inB])].sort());
      assert.deepEqual(members(intersection(a, b)), [...inA].filter((text) => inB.has(text)).sort());
      assert.deepEqual(members(difference(a, b)), [...inA].filter((text) => !inB.has(text)).sort());
      assert.deepEqual(members(sortedSet(a)), members(a));
    }),
  );
});

test("a recursive difference takes what is below a member as well", () => {
  const set = setOf([["f:a"], ["f:a", "f:b"], ["f:b", "f:a"]]);
  assert.deepEqual(fieldTexts(recursiveDifference(set, setOfField(["f:a"]))), [".b.a"]);
});

test("what does not change is given back as it is", () => {
  const set = setOf([["f:a", "f:b"], ["f:b"]]);
  assert.equal(union(set, setOfField(["f:b"])), set);
  assert.equal(difference(set, setOfField(["f:c"])), set);
});
