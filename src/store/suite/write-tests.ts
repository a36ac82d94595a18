/**
 * The contract's promises about writing: revisions, conditions, all or nothing, many at once, the end.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Store, StoreClosed, type StoreEntry, type WriteOperation, type WriteResult } from "#store/store.ts";
import {
  bytes,
  commit,
  put,
  rangeLines,
  refuse,
  remove,
  type StoreFactory,
  showEntry,
  text,
} from "#store/suite/support.ts";
import { withStore } from "#store/suite/with-store.ts";

/** Declares the tests. */
export function writeTests(factory: StoreFactory): void {
  test(
    "a new store is empty and at revision 1",
    withStore(factory, async (store) => {
      assert.equal(store.currentRevision(), 1);
      assert.equal(store.compactedRevision(), 0);
      assert.deepEqual(await rangeLines(store, { prefix: "" }), []);
    }),
  );

  test(
    "each write raises the revision by one and stamps its keys with it",
    withStore(factory, async (store) => {
      assert.equal(await commit(store, put("/a", "1")), 2);
      assert.equal(await commit(store, put("/b", "1"), put("/c", "1")), 3);
      assert.equal(await commit(store, put("/a", "2")), 4);

      assert.equal(store.currentRevision(), 4);
      assert.deepEqual(await rangeLines(store, { prefix: "" }), ["/a=2@2/4", "/b=1@3/3", "/c=1@3/3"]);
    }),
  );

  test(
    "a deleted key is gone, and made anew it has a new createRevision",
    withStore(factory, async (store) => {
      await commit(store, put("/a", "1"));
      assert.equal(await commit(store, remove("/a")), 3);
      assert.equal(await store.get("/a"), undefined);

      await commit(store, put("/a", "2"));
      assert.equal(showEntry(await store.get("/a")), "/a=2@4/4");
    }),
  );

  test(
    "a write that changes nothing succeeds without a new revision",
    withStore(factory, async (store) => {
      assert.deepEqual(await store.write([]), { ok: true, revision: 1 });
      assert.deepEqual(await store.write([remove("/absent")]), { ok: true, revision: 1 });
      assert.deepEqual(await store.write([remove("/absent", 0)]), { ok: true, revision: 1 });
      assert.equal(store.currentRevision(), 1);
    }),
  );

  test(
    "a put with expected revision 0 is refused when the key exists, and tells what stands there",
    withStore(factory, async (store) => {
      await commit(store, put("/a", "1", 0));

      const refused = await refuse(store, put("/a", "2", 0));

      assert.equal(refused.key, "/a");
      assert.equal(refused.revision, 2);
      assert.equal(showEntry(refused.current), "/a=1@2/2");
      assert.equal(store.currentRevision(), 2);
    }),
  );

  test(
    "a conditional put or delete happens only at the key's modRevision",
    withStore(factory, async (store) => {
      await commit(store, put("/a", "1"));
      await commit(store, put("/other", "1"));

      await refuse(store, put("/a", "2", 3));
      await refuse(store, remove("/a", 1));
      assert.equal(await commit(store, put("/a", "2", 2)), 4);
      await refuse(store, remove("/a", 2));
      assert.equal(await commit(store, remove("/a", 4)), 5);
      assert.equal((await refuse(store, put("/a", "3", 4))).current, undefined);
    }),
  );

  test(
    "of several operations all happen at one revision, or none when one condition fails",
    withStore(factory, async (store) => {
      await commit(store, put("/a", "1"), put("/b", "1"));

      const refused = await refuse(store, put("/c", "1", 0), put("/b", "2", 2), put("/a", "2", 7), put("/b2", "1", 9));

      assert.equal(refused.key, "/a");
      assert.deepEqual(await rangeLines(store, { prefix: "" }), ["/a=1@2/2", "/b=1@2/2"]);
      assert.equal(await commit(store, remove("/a", 2), put("/b", "2", 2), put("/c", "1", 0)), 3);
      assert.deepEqual(await rangeLines(store, { prefix: "" }), ["/b=2@2/3", "/c=1@3/3"]);
    }),
  );

  test(
    "writes called in one turn take effect in the order of the calls",
    withStore(factory, async (store) => {
      const [first, second, third, fourth] = await Promise.all([
        store.write([put("/a", "1", 0)]),
        store.write([put("/a", "2", 0)]),
        store.write([put("/a", "3", 2)]),
        store.write([remove("/a", 3)]),
      ]);

      assert.deepEqual(first, { ok: true, revision: 2 });
      assert.ok(!second.ok && showEntry(second.current) === "/a=1@2/2");
      assert.deepEqual(third, { ok: true, revision: 3 });
      assert.deepEqual(fourth, { ok: true, revision: 4 });
      assert.equal(text((await store.get("/a", { revision: 3 }))?.value), "3");
    }),
  );

  test(
    "many writers that count one key up by conditional writes lose no step",
    withStore(factory, async (store) => {
      await commit(store, put("/count", "0"));

      await Promise.all(Array.from({ length: 16 }, () => countUp(10)));

      assert.equal(text((await store.get("/count"))?.value), "160");
      assert.equal(store.currentRevision(), 162);

      async function countUp(times: number): Promise<void> {
        for (let done = 0; done < times; ) {
          const current = (await store.get("/count"))!;
          const next = String(Number(text(current.value)) + 1);
          if ((await store.write([put("/count", next, current.modRevision)])).ok) done++;
        }
      }
    }),
  );

  test(
    "what many writers are told at the same time is what they would be told one after another",
    withStore(factory, async (store) => {
      const outcomes: { readonly operations: readonly WriteOperation[]; readonly result: WriteResult }[] = [];
      const write = async (operations: readonly WriteOperation[]): Promise<void> => {
        outcomes.push({ operations, result: await store.write(operations) });
      };

      await Promise.all(
        Array.from({ length: 12 }, async (_, writer) => {
          for (let i = 0; i < 12; i++) {
            const [one, other] = [`/k${(writer + i) % 4}`, `/k${(writer * i + 1) % 4}`];
            const seen = (await store.get(one))?.modRevision ?? 0;
            const expected = i % 4 === 3 ? undefined : seen;
            if (one === other || i % 3 === 0)
              await write([i % 5 === 4 ? remove(one, expected) : put(one, `${writer}.${i}`, expected)]);
            else await write([put(one, `${writer}.${i}`, expected), remove(other)]);
          }
        }),
      );

      for (const { operations, result } of outcomes) await checkOutcome(store, operations, result);
    }),
  );

  test(
    "values may be empty, and may be megabytes of any bytes",
    withStore(factory, async (store) => {
      const large = new Uint8Array(3 << 20).map((_, i) => (i * 31) ^ (i >> 8));

      await store.write([{ key: "/empty", value: bytes(""), expectedRevision: 0 }]);
      await store.write([{ key: "/large", value: large, expectedRevision: 0 }]);

      assert.equal((await store.get("/empty"))?.value.length, 0);
      assert.ok(Buffer.from((await store.get("/large"))!.value).equals(large));
    }),
  );

  test(
    "a write with the same key twice, an empty, a broken or a far too long key is a bug of the caller",
    withStore(factory, async (store) => {
      await assert.rejects(store.write([put("/a", "1"), put("/a", "2")]), { name: "AssertionError" });
      await assert.rejects(store.write([put("", "1")]), { name: "AssertionError" });
      await assert.rejects(store.write([put("/\ud800", "1")]), { name: "AssertionError" });
      await assert.rejects(store.write([put("x".repeat(1901), "1")]), { name: "AssertionError" });

      assert.equal(await commit(store, put("x".repeat(1900), "1")), 2);
      assert.equal(text((await store.get("x".repeat(1900)))?.value), "1");
    }),
  );

  test(
    "close finishes the writes that were called before it and refuses everything after",
    withStore(factory, async (store) => {
      const before = store.write([put("/a", "1")]);
      const closed = store.close();

      await assert.rejects(store.write([put("/b", "1")]), StoreClosed);
      assert.deepEqual(await before, { ok: true, revision: 2 });
      await closed;
      await store.close();
      await assert.rejects(store.get("/a"), StoreClosed);
      await assert.rejects(store.range({ prefix: "" }), StoreClosed);
      await assert.rejects(store.watch({ prefix: "" }, { onEvents() {}, onEnd() {} }), StoreClosed);
      await assert.rejects(store.compact(1), StoreClosed);
    }),
  );
}

/** A write that succeeded found its conditions true just before its revision; one that was refused found at its revision what it was told. */
async function checkOutcome(store: Store, operations: readonly WriteOperation[], result: WriteResult): Promise<void> {
  const at = (key: string, revision: number): Promise<StoreEntry | undefined> =>
    revision <= 1 ? Promise.resolve(undefined) : store.get(key, { revision });
  if (!result.ok) {
    assert.equal(showEntry(await at(result.key, result.revision)), showEntry(result.current));
    const refused = operations.find(({ key }) => key === result.key)!;
    assert.notEqual(result.current?.modRevision ?? 0, refused.expectedRevision);
    return;
  }
  for (const { key, value, expectedRevision } of operations) {
    assert.equal(text((await at(key, result.revision))?.value), text(value));
    if (expectedRevision === undefined) continue;
    // A write that changed nothing has the revision that it found.
    const before = await at(key, result.revision - (value === undefined && expectedRevision === 0 ? 0 : 1));
    assert.equal(before?.modRevision ?? 0, expectedRevision);
  }
}
