/**
 * The contract's promises about watching: every change once, in order, past joined with live.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RevisionCompacted, StoreClosed, type StoreEvent } from "#store/store.ts";
import { commit, put, Recorder, remove, type StoreFactory, text } from "#store/suite/support.ts";
import { withStore } from "#store/suite/with-store.ts";

/** Declares the tests. */
export function watchTests(factory: StoreFactory): void {
  test(
    "a watch gives creates, changes and deletes of its prefix, with old values",
    withStore(factory, async (store) => {
      await commit(store, put("/pods/a", "1"));
      const watcher = new Recorder();
      await store.watch({ prefix: "/pods/" }, watcher);

      await commit(store, put("/pods/b", "1"));
      await commit(store, put("/pods/b", "2"));
      await commit(store, put("/nodes/a", "1"));
      await commit(store, remove("/pods/a"));

      await watcher.reached(6);
      assert.deepEqual(watcher.lines(), [
        "3 put /pods/b=1 from=3",
        "4 put /pods/b=2 was=1 from=3",
        "6 delete /pods/a=1 from=2",
      ]);
    }),
  );

  test(
    "the watch was told before the write resolves, also of revisions that are not its own",
    withStore(factory, async (store) => {
      const watcher = new Recorder();
      await store.watch({ prefix: "/pods/" }, watcher);

      await commit(store, put("/pods/a", "1"));
      assert.deepEqual([watcher.events.length, watcher.revision], [1, 2]);
      await commit(store, put("/nodes/a", "1"));
      assert.deepEqual([watcher.events.length, watcher.revision], [1, 3]);
    }),
  );

  test(
    "what a watch has seen can be read",
    withStore(factory, async (store) => {
      const reads: Promise<unknown>[] = [];
      const onEvents = (events: readonly StoreEvent[], revision: number): void => {
        assert.equal(store.currentRevision(), revision);
        for (const event of events) reads.push(store.get(event.key, { revision: event.revision }));
      };
      await store.watch({ prefix: "/" }, { onEvents, onEnd() {} });

      await Promise.all(Array.from({ length: 20 }, (_, i) => store.write([put(`/k${i}`, "1")])));

      assert.equal((await Promise.all(reads)).filter((entry) => entry !== undefined).length, 20);
    }),
  );

  test(
    "events of one write have one revision and come together, in the write's order",
    withStore(factory, async (store) => {
      await commit(store, put("/b", "1"));
      const calls: string[][] = [];
      const onEvents = (events: readonly StoreEvent[]): void =>
        void calls.push(events.map((event) => `${event.revision} ${event.type} ${event.key}`));
      await store.watch({ prefix: "/" }, { onEvents, onEnd() {} });

      await commit(store, put("/c", "1"), remove("/b"), put("/a", "1"), remove("/absent"));

      assert.deepEqual(calls, [["3 put /c", "3 delete /b", "3 put /a"]]);
    }),
  );

  test(
    "a watch from the past gives what happened since, then what happens",
    withStore(factory, async (store) => {
      await commit(store, put("/a", "1"));
      await commit(store, put("/a", "2"));
      await commit(store, put("/other", "1"), remove("/a"));
      await commit(store, put("/a", "3"));

      const fromStart = new Recorder();
      const fromThree = new Recorder();
      await store.watch({ prefix: "/a", afterRevision: 1 }, fromStart);
      await store.watch({ prefix: "/a", afterRevision: 3 }, fromThree);
      await commit(store, put("/a", "4"));

      await fromStart.reached(6);
      await fromThree.reached(6);
      const all = [
        "2 put /a=1 from=2",
        "3 put /a=2 was=1 from=2",
        "4 delete /a=2 from=2",
        "5 put /a=3 from=5",
        "6 put /a=4 was=3 from=5",
      ];
      assert.deepEqual(fromStart.lines(), all);
      assert.deepEqual(fromThree.lines(), all.slice(2));
    }),
  );

  test(
    "a watch from revision 0 gives all that ever happened, also of a store in which nothing has",
    withStore(factory, async (store) => {
      const fromEmpty = new Recorder();
      await store.watch({ prefix: "/", afterRevision: 0 }, fromEmpty);
      await commit(store, put("/a", "1"));
      for (let i = 2; i <= 60; i++) await commit(store, put(`/other${i}`, "1"));
      await commit(store, remove("/a"));
      const fromFull = new Recorder();
      await store.watch({ prefix: "/a", afterRevision: 0 }, fromFull);

      await fromEmpty.reached(62);
      await fromFull.reached(62);
      assert.equal(fromEmpty.events.length, 61);
      assert.deepEqual(fromFull.lines(), ["2 put /a=1 from=2", "62 delete /a=1 from=2"]);
      assert.deepEqual([...fromEmpty.endings, ...fromFull.endings], []);
    }),
  );

  test(
    "watches that begin while writes are under way miss nothing and see nothing twice",
    withStore(factory, async (store) => {
      const watchers: { readonly from: number; readonly recorder: Recorder }[] = [];
      const writing = Array.from({ length: 8 }, async (_, writer) => {
        for (let i = 0; i < 25; i++) await commit(store, put(`/w${writer}/k${i % 5}`, `${i}`));
      });
      for (let i = 0; i < 20; i++) {
        const recorder = new Recorder();
        const from = Math.max(1, store.currentRevision() - 7 * i);
        await store.watch({ prefix: "/", afterRevision: from }, recorder);
        watchers.push({ from, recorder });
        await new Promise((resolve) => setImmediate(resolve));
      }
      await Promise.all(writing);

      for (const { from, recorder } of watchers) {
        await recorder.reached(201);
        const expected = Array.from({ length: 201 - from }, (_, i) => from + 1 + i);
        assert.deepEqual(
          recorder.events.map(({ revision }) => revision),
          expected,
        );
      }
    }),
  );

  test(
    "a watch from long ago is complete, with the values of each moment",
    withStore(factory, async (store) => {
      for (let i = 0; i < 60; i++) {
        await Promise.all(Array.from({ length: 50 }, (_, k) => store.write([put(`/k${k}`, `${i}`)])));
      }

      const recorder = new Recorder();
      await store.watch({ prefix: "/k7", afterRevision: 1 }, recorder);

      await recorder.reached(3001);
      assert.equal(recorder.events.length, 60);
      assert.ok(recorder.events.every((event, i) => text(event.value) === `${i}`));
      assert.ok(recorder.events.slice(1).every((event, i) => text(event.previousValue) === `${i}`));
    }),
  );

  test(
    "a watch from before the compacted revision is refused, from it on it is complete",
    withStore(factory, async (store) => {
      for (let i = 0; i < 5; i++) await commit(store, put("/a", String(i)));
      await store.compact(4);

      await assert.rejects(store.watch({ prefix: "/", afterRevision: 3 }, new Recorder()), RevisionCompacted);
      const watcher = new Recorder();
      await store.watch({ prefix: "/", afterRevision: 4 }, watcher);

      await watcher.reached(6);
      assert.deepEqual(watcher.lines(), ["5 put /a=3 was=2 from=2", "6 put /a=4 was=3 from=2"]);
    }),
  );

  test(
    "a watch that was stopped hears no more, also when it stops itself or another one in the middle",
    withStore(factory, async (store) => {
      const stops: (() => void)[] = [];
      const heard = [0, 0];
      for (const i of [0, 1]) {
        const onEvents = (): void => {
          heard[i]!++;
          for (const stop of stops) stop();
        };
        stops.push(await store.watch({ prefix: "/" }, { onEvents, onEnd: () => assert.fail("ended by itself") }));
      }

      await commit(store, put("/a", "1"));
      await commit(store, put("/a", "2"));

      assert.deepEqual(heard, [1, 0]);
      stops[0]!();
    }),
  );

  test(
    "a watcher may write from within its call",
    withStore(factory, async (store) => {
      const recorder = new Recorder();
      let isBusy = false;
      const onEvents = (events: readonly StoreEvent[], revision: number): void => {
        assert.ok(!isBusy);
        isBusy = true;
        recorder.onEvents(events, revision);
        if (events.some(({ key }) => key === "/a")) void store.write([put("/b", "made by the watcher")]);
        isBusy = false;
      };
      await store.watch({ prefix: "/" }, { onEvents, onEnd() {} });

      await commit(store, put("/a", "1"));

      await recorder.reached(3);
      assert.deepEqual(recorder.lines(), ["2 put /a=1 from=2", "3 put /b=made by the watcher from=3"]);
    }),
  );

  test(
    "close ends every watch once, after the last events",
    withStore(factory, async (store) => {
      const watcher = new Recorder();
      const stopped = new Recorder();
      await store.watch({ prefix: "/" }, watcher);
      const stop = await store.watch({ prefix: "/" }, stopped);
      stop();

      const last = store.write([put("/a", "1")]);
      await Promise.all([last, store.close()]);
      await store.close();

      assert.deepEqual(watcher.lines(), ["2 put /a=1 from=2"]);
      assert.equal(watcher.endings.length, 1);
      assert.ok(watcher.endings[0] instanceof StoreClosed);
      assert.equal(stopped.endings.length, 0);
    }),
  );
}
