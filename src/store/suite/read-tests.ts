/**
 * The contract's promises about reading the newest state: order, prefixes, limits, counts.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compareKeys } from "#store/keys.ts";
import type { RangeResult, StoreEntry, StoreEvent } from "#store/store.ts";
import { commit, put, Recorder, rangeLines, remove, type StoreFactory, showEntry } from "#store/suite/support.ts";
import { withStore } from "#store/suite/with-store.ts";

/** Declares the tests. */
export function readTests(factory: StoreFactory): void {
  test(
    "a range gives the keys with the prefix and no others",
    withStore(factory, async (store) => {
      await commit(store, put("/pods/a", "1"), put("/pods/b", "2"), put("/podsx", "3"), put("/nodes/a", "4"));

      assert.deepEqual(await rangeLines(store, { prefix: "/pods/" }), ["/pods/a=1@2/2", "/pods/b=2@2/2"]);
      assert.deepEqual(await rangeLines(store, { prefix: "/none/" }), []);
    }),
  );

  test(
    "keys are ordered by their UTF-8 bytes",
    withStore(factory, async (store) => {
      // U+1F600 is after U+FFFD in UTF-8, but before it in JavaScript's own order.
      const keys = [
        "/\u0000",
        "/\u0001b",
        "/\t",
        "/ ",
        "/A",
        "/a",
        "/a/b",
        "/ab",
        "/~",
        "/\u00e9",
        "/\ud7ff",
        "/\ufffd",
        "/\u{1f600}",
      ];
      for (const key of [...keys].reverse()) await commit(store, put(key, "x"));

      const { entries } = await store.range({ prefix: "/" });

      assert.deepEqual(
        entries.map(({ key }) => key),
        keys,
      );
      assert.deepEqual(
        entries.map(({ key }) => key),
        [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
      );
    }),
  );

  test(
    "a limit cuts the range off, says so, and counts the rest when asked",
    withStore(factory, async (store) => {
      await commit(store, ...["a", "b", "c", "d"].map((name) => put(`/${name}`, "1")), put("0", "1"), put("x", "1"));

      const page = await store.range({ prefix: "/", limit: 3 });
      assert.deepEqual([page.entries.length, page.more, page.remaining, page.revision], [3, true, undefined, 2]);
      const counted = await store.range({ prefix: "/", limit: 1, countRemaining: true });
      assert.deepEqual([counted.entries.length, counted.more, counted.remaining], [1, true, 3]);
      const all = await store.range({ prefix: "/", limit: 4, countRemaining: true });
      assert.deepEqual([all.entries.length, all.more, all.remaining], [4, false, 0]);
      assert.equal((await store.range({ prefix: "/", limit: 0 })).entries.length, 4);
    }),
  );

  test(
    "a range begins at the start key, whether it exists or not, and never before the prefix",
    withStore(factory, async (store) => {
      await commit(store, ...["/a", "/b", "/d"].map((key) => put(key, "1")), put("!", "1"));

      assert.deepEqual(await rangeLines(store, { prefix: "/", startKey: "/b" }), ["/b=1@2/2", "/d=1@2/2"]);
      assert.deepEqual(await rangeLines(store, { prefix: "/", startKey: "/b\0" }), ["/d=1@2/2"]);
      assert.deepEqual(await rangeLines(store, { prefix: "/", startKey: "/z" }), []);
      assert.equal((await rangeLines(store, { prefix: "/", startKey: "!" })).length, 3);
    }),
  );

  test(
    "reading page by page gives every key once",
    withStore(factory, async (store) => {
      const names = Array.from({ length: 250 }, (_, i) => `/item-${String(i).padStart(4, "0")}`);
      await Promise.all(names.map((name) => store.write([put(name, name)])));

      const seen: string[] = [];
      for (let startKey = ""; ; ) {
        const page = await store.range({ prefix: "/item-", startKey, limit: 37 });
        seen.push(...page.entries.map(({ key }) => key));
        if (!page.more) break;
        startKey = `${seen.at(-1)}\0`;
      }

      assert.deepEqual(seen, names);
    }),
  );

  test(
    "a read that follows an acknowledged write sees it, whoever wrote",
    withStore(factory, async (store) => {
      await Promise.all(
        Array.from({ length: 50 }, async (_, i) => {
          const revision = await commit(store, put(`/k${i}`, "1"));
          assert.equal((await store.get(`/k${i}`))?.modRevision, revision);
          const range = await store.range({ prefix: `/k${i}` });
          assert.ok(range.revision >= revision && range.entries.some(({ modRevision }) => modRevision === revision));
        }),
      );
    }),
  );

  test(
    "ranges that are read while others write show the keys of exactly one revision",
    withStore(factory, async (store) => {
      const recorder = new Recorder();
      await store.watch({ prefix: "/" }, recorder);
      const seen: RangeResult[] = [];
      let isWriting = true;

      const writing = Array.from({ length: 10 }, async (_, writer) => {
        for (let i = 0; i < 20; i++) {
          const keys = [0, 1, 2, 3, 4].map((k) => `/key-${(writer * 71 + i * 13 + k * 131) % 700}`);
          await commit(store, ...keys.map((key, k) => ((i + k) % 3 === 0 ? remove(key) : put(key, `${writer}.${i}`))));
        }
      });
      const reading = [undefined, 400, 7].map(async (limit) => {
        while (isWriting) {
          const past = seen.length % 2 === 0 && seen.length > 0 ? { revision: seen.at(-1)!.revision } : {};
          seen.push(await store.range({ prefix: "/key-", countRemaining: true, ...(limit && { limit }), ...past }));
          await new Promise((resolve) => setImmediate(resolve));
        }
      });
      await Promise.all(writing);
      isWriting = false;
      await Promise.all(reading);

      for (const { revision, entries, more, remaining } of seen) {
        const expected = stateAt(recorder.events, revision);
        assert.deepEqual(entries.map(showEntry), expected.slice(0, entries.length), `at revision ${revision}`);
        assert.deepEqual([more, remaining], [entries.length < expected.length, expected.length - entries.length]);
      }
    }),
  );
}

/** The entries at a revision, each in one line, from all events before it. */
function stateAt(events: readonly StoreEvent[], revision: number): readonly (string | undefined)[] {
  const state = new Map<string, StoreEntry>();
  for (const { type, key, value, createRevision, revision: modRevision } of events) {
    if (modRevision > revision) break;
    if (type === "delete") state.delete(key);
    else state.set(key, { key, value, createRevision, modRevision });
  }
  return [...state.values()].sort((a, b) => compareKeys(a.key, b.key)).map(showEntry);
}
