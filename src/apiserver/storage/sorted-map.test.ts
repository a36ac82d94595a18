/** Behaviour of the sorted map: order, and snapshots that stand still. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SortedMap } from "./sorted-map.ts";

test("a sorted map gives its values in key order and by prefix", () => {
  const map = new SortedMap<string>();
  for (const key of ["/b/2", "/a/1", "/b/1", "/c/1", "/b"]) map.set(key, key);

  assert.deepEqual([...map.snapshot().from("/b/")], ["/b/1", "/b/2"]);
  assert.deepEqual([...map.snapshot().from("/b/", "/b/1\0")], ["/b/2"]);
  assert.deepEqual([...map.snapshot().from("/")], ["/a/1", "/b", "/b/1", "/b/2", "/c/1"]);
});

test("a snapshot does not show later writes", () => {
  const map = new SortedMap<number>();
  for (let i = 0; i < 2000; i++) map.set(`/k/${String(i).padStart(5, "0")}`, i);
  const before = map.snapshot();

  for (let i = 0; i < 2000; i += 3) map.delete(`/k/${String(i).padStart(5, "0")}`);
  map.set("/k/00001", -1);

  assert.equal([...before.from("/k/")].length, 2000);
  assert.equal([...before.from("/k/")][1], 1);
  assert.equal([...map.snapshot().from("/k/")][0], -1);
});

test("a sorted map agrees with a plain sorted object on any sequence of writes", () => {
  const operation = fc.record({ key: fc.integer({ min: 0, max: 3000 }), isDelete: fc.boolean() });
  const property = fc.property(fc.array(operation, { maxLength: 3000, size: "max" }), (operations) => {
    const map = new SortedMap<number>();
    const model = new Map<string, number>();
    operations.forEach(({ key, isDelete }, value) => {
      if (isDelete) assert.equal(map.delete(`/${key}`), model.delete(`/${key}`));
      else {
        map.set(`/${key}`, value);
        model.set(`/${key}`, value);
      }
      if (value % 100 === 0) map.snapshot();
    });
    const expected = [...model.entries()].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map((entry) => entry[1]);
    assert.deepEqual([...map.snapshot().from("/")], expected);
  });
  fc.assert(property, { numRuns: 30 });
});
