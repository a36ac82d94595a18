import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import { withFolder } from "#store/lmdb/testing/temporary-folder.ts";
import { createMemoryStore } from "#store/memory/memory-store.ts";
import type { RangeRequest, Store, StoreEntry, WriteOperation } from "#store/store.ts";
import { bytes, Recorder, showEntry, showEvent } from "#store/suite/support.ts";

/** One step; numbers are turned into revisions by what the store's are at that moment. */
type Step =
  | { readonly kind: "write"; readonly writes: readonly (readonly Operation[])[] }
  | { readonly kind: "read"; readonly key: string; readonly back: number }
  | { readonly kind: "range"; readonly request: RangeRequest; readonly back: number }
  | { readonly kind: "watch"; readonly prefix: string; readonly back: number }
  | { readonly kind: "compact"; readonly back: number };
type Operation = { readonly key: string; readonly value: string | undefined; readonly expected: number | undefined };

const key = fc.constantFrom("/a", "/a/1", "/a/2", "/b", "/b/\u00e9", "/b/\ufffd", "/b/\u{1f600}", "!", "/a\0");
const back = fc.nat(12);
const operation = fc.record({
  key,
  value: fc.option(fc.string({ maxLength: 30 }), { nil: undefined }),
  expected: fc.option(fc.nat(6), { nil: undefined }),
});
const write = fc.uniqueArray(operation, { selector: ({ key }) => key, maxLength: 4 });
const request = fc.record(
  {
    prefix: fc.constantFrom("", "/", "/a", "/a/", "/b/"),
    startKey: key,
    limit: fc.nat(4),
    countRemaining: fc.boolean(),
  },
  { requiredKeys: ["prefix"] },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("write" as const), writes: fc.array(write, { maxLength: 6 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("read" as const), key, back }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("range" as const), request, back }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("watch" as const), prefix: fc.constantFrom("", "/a", "/b/"), back }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("compact" as const), back }) },
);

test("the memory store and the LMDB store answer everything alike", async () => {
  const property = fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
    await withFolder(async (folder) => {
      const [memory, lmdb] = [createMemoryStore(), await openLmdbStore({ folder, reserveBytes: 0 })];
      try {
        assert.deepEqual(await play(lmdb, steps), await play(memory, steps));
      } finally {
        await Promise.all([memory.close(), lmdb.close()]);
      }
    });
  });

  await fc.assert(property, { numRuns: 25 });
});

async function play(store: Store, steps: readonly Step[]): Promise<readonly unknown[]> {
  const watches: Recorder[] = [];
  const answers: unknown[] = [];
  for (const one of steps) answers.push(await take(store, one, watches).catch((error: Error) => error.message));
  for (const watch of watches) {
    await watch.reached(store.currentRevision());
    answers.push(watch.events.map(showEvent));
  }
  return [...answers, store.currentRevision(), store.compactedRevision()];
}

async function take(store: Store, step: Step, watches: Recorder[]): Promise<unknown> {
  if (step.kind === "write") {
    const results = await Promise.all(
      step.writes.map((operations) => store.write(operations.map((one) => resolve(store, one)))),
    );
    return results.map((result) => (result.ok ? result : { ...result, current: showEntry(result.current) }));
  }
  const revision = Math.max(1, store.currentRevision() - step.back);
  const past = step.back === 0 ? {} : { revision };
  if (step.kind === "read") return showEntry(await store.get(step.key, past));
  if (step.kind === "compact") return store.compact(revision);
  if (step.kind === "watch") {
    const recorder = new Recorder();
    recorder.revision = revision;
    await store.watch({ prefix: step.prefix, afterRevision: revision }, recorder);
    watches.push(recorder);
    return "watching";
  }
  const result = await store.range({ ...step.request, ...past });
  return { ...result, entries: result.entries.map((entry: StoreEntry) => showEntry(entry)) };
}

/** Small expected numbers stay as they are (0: must be new), larger ones count back from the newest revision. */
function resolve(store: Store, { key, value, expected }: Operation): WriteOperation {
  const expectedRevision = expected === undefined || expected < 2 ? expected : store.currentRevision() - expected + 2;
  return { key, value: value === undefined ? undefined : bytes(value), expectedRevision };
}
