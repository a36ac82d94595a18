/**
 * The contract's promises about the past: reading it, and dropping it by compaction.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RevisionCompacted, RevisionInFuture } from "#store/store.ts";
import { commit, put, Recorder, rangeLines, remove, type StoreFactory, showEntry } from "#store/suite/support.ts";
import { withStore } from "#store/suite/with-store.ts";

/** Declares the tests. */
export function historyTests(factory: StoreFactory): void {
  test(
    "get and range give the state as it was at any revision",
    withStore(factory, async (store) => {
      await commit(store, put("/a", "1"));
      await commit(store, put("/b", "1"), put("/a", "2"));
      await commit(store, remove("/a"));
      await commit(store, put("/a", "3"), remove("/b"));

      assert.equal(await store.get("/a", { revision: 1 }), undefined);
      assert.equal(showEntry(await store.get("/a", { revision: 2 })), "/a=1@2/2");
      assert.equal(showEntry(await store.get("/a", { revision: 3 })), "/a=2@2/3");
      assert.equal(await store.get("/a", { revision: 4 }), undefined);
      assert.equal(showEntry(await store.get("/a", { revision: 5 })), "/a=3@5/5");
      assert.deepEqual(await rangeLines(store, { prefix: "/", revision: 1 }), []);
      assert.deepEqual(await rangeLines(store, { prefix: "/", revision: 2 }), ["/a=1@2/2"]);
      assert.deepEqual(await rangeLines(store, { prefix: "/", revision: 3 }), ["/a=2@2/3", "/b=1@3/3"]);
      assert.deepEqual(await rangeLines(store, { prefix: "/", revision: 4 }), ["/b=1@3/3"]);
      assert.deepEqual(await rangeLines(store, { prefix: "/", revision: 5 }), ["/a=3@5/5"]);
    }),
  );

  test(
    "pages at one revision fit together while others write",
    withStore(factory, async (store) => {
      await commit(store, ...Array.from({ length: 20 }, (_, i) => put(`/${String(i).padStart(2, "0")}`, "old")));
      const first = await store.range({ prefix: "/", limit: 8 });

      await commit(store, put("/001", "new"), remove("/09"), put("/10", "new"), put("/115", "new"));
      const second = await store.range({ prefix: "/", startKey: "/08", limit: 8, revision: first.revision });
      await commit(store, remove("/17"), put("/18", "new"), put("/199", "new"));
      const rest = { prefix: "/", startKey: "/16", limit: 8, revision: first.revision, countRemaining: true };
      const third = await store.range(rest);

      const all = [first, second, third].flatMap(({ entries }) => entries);
      assert.equal(all.length, 20);
      assert.ok(all.every(({ modRevision }) => modRevision === 2));
      assert.deepEqual([second.more, third.more, third.remaining, third.revision], [true, false, 0, 2]);
    }),
  );

  test(
    "a limit at a past revision counts only what existed then",
    withStore(factory, async (store) => {
      await commit(store, put("/a", "1"), put("/b", "1"), put("/c", "1"));
      await commit(store, remove("/b"), put("/d", "1"), put("/e", "1"));

      const past = await store.range({ prefix: "/", limit: 1, revision: 2, countRemaining: true });
      assert.deepEqual([past.entries.length, past.more, past.remaining], [1, true, 2]);
      const whole = await store.range({ prefix: "/", limit: 3, revision: 2 });
      assert.deepEqual([whole.entries.length, whole.more], [3, false]);
    }),
  );

  test(
    "a revision that has not happened cannot be read, watched from or compacted",
    withStore(factory, async (store) => {
      await commit(store, put("/a", "1"));

      await assert.rejects(store.get("/a", { revision: 3 }), RevisionInFuture);
      await assert.rejects(store.range({ prefix: "", revision: 3 }), RevisionInFuture);
      await assert.rejects(store.watch({ prefix: "", afterRevision: 3 }, new Recorder()), RevisionInFuture);
      await assert.rejects(store.compact(3), RevisionInFuture);
    }),
  );

  test(
    "compaction makes its revisions unreadable and leaves all later ones as they were",
    withStore(factory, async (store) => {
      await commit(store, put("/kept", "1"), put("/changed", "1"), put("/deleted", "1"), put("/anew", "1"));
      await commit(store, put("/changed", "2"), remove("/deleted"), remove("/anew"));
      await commit(store, put("/changed", "3"));
      await commit(store, put("/kept", "2"), put("/anew", "2"));

      await store.compact(3);

      assert.equal(store.compactedRevision(), 3);
      assert.equal(store.currentRevision(), 5);
      await assert.rejects(store.get("/kept", { revision: 3 }), RevisionCompacted);
      await assert.rejects(store.range({ prefix: "/", revision: 2 }), RevisionCompacted);
      assert.deepEqual(await rangeLines(store, { prefix: "/", revision: 4 }), ["/changed=3@2/4", "/kept=1@2/2"]);
      assert.deepEqual(await rangeLines(store, { prefix: "/", revision: 5 }), [
        "/anew=2@5/5",
        "/changed=3@2/4",
        "/kept=2@2/5",
      ]);
    }),
  );

  test(
    "compacting to the newest revision keeps the newest state and lets watches go on from there",
    withStore(factory, async (store) => {
      await commit(store, put("/a", "1"));
      await commit(store, put("/a", "2"));
      await store.compact(3);

      const watcher = new Recorder();
      await store.watch({ prefix: "/", afterRevision: 3 }, watcher);
      await commit(store, put("/a", "3"));

      await watcher.reached(4);
      assert.deepEqual(watcher.lines(), ["4 put /a=3 was=2 from=2"]);
      assert.equal(showEntry(await store.get("/a")), "/a=3@2/4");
      assert.equal(showEntry(await store.get("/a", { revision: 4 })), "/a=3@2/4");
    }),
  );

  test(
    "a delete just after the compacted revision is still seen, also when it was the key's only change since",
    withStore(factory, async (store) => {
      await commit(store, put("/a", "1"));
      await commit(store, put("/b", "1"));
      await commit(store, remove("/a"));
      await store.compact(3);

      const watcher = new Recorder();
      await store.watch({ prefix: "/", afterRevision: 3 }, watcher);
      await watcher.reached(4);

      assert.deepEqual(watcher.lines(), ["4 delete /a=1 from=2"]);
      assert.equal(await store.get("/a", { revision: 4 }), undefined);
    }),
  );

  test(
    "compacting again at a lower revision does nothing",
    withStore(factory, async (store) => {
      for (let i = 0; i < 5; i++) await commit(store, put("/a", String(i)));

      await store.compact(4);
      await store.compact(2);

      assert.equal(store.compactedRevision(), 4);
      assert.equal(showEntry(await store.get("/a", { revision: 5 })), "/a=3@2/5");
    }),
  );

  test(
    "compaction and writing at the same time disturb neither",
    withStore(factory, async (store) => {
      for (let round = 0; round < 5; round++) {
        const writes = Array.from({ length: 20 }, (_, i) => store.write([put(`/k${i % 7}`, `${round}.${i}`)]));
        const target = store.currentRevision();
        await Promise.all([...writes, store.compact(target)]);
        assert.equal(store.compactedRevision(), target);
      }

      assert.equal(store.currentRevision(), 101);
      assert.equal((await rangeLines(store, { prefix: "/k" })).length, 7);
      assert.equal((await rangeLines(store, { prefix: "/k", revision: 99 })).length, 7);
    }),
  );
}
