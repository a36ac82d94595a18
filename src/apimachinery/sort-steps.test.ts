import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sortSteps } from "./sort-steps.ts";

test("what is sorted in steps is in the order in which it is sorted at once", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 2 }), { maxLength: 12 }),
      fc.integer({ min: 0, max: 9000 }),
      (texts, count) => {
        const items = Array.from(
          { length: count },
          (_, index) => `${texts[index % (texts.length || 1)]}${(index * 7919) % 5003}`,
        );
        const sorted = items.toSorted();

        for (const _ of sortSteps(items, (item) => item));

        assert.deepEqual(items, sorted);
      },
    ),
    { numRuns: 20 },
  );
});

test("what is equal stays in its order", () => {
  const items = Array.from({ length: 5000 }, (_, index) => ({ key: `k${(index * 7919) % 13}`, index }));
  const sorted = items.toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));

  for (const _ of sortSteps(items, ({ key }) => key));

  assert.deepEqual(items, sorted);
});
