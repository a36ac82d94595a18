/**
 * What stores promise that can be read without waiting.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isImmediate, type ImmediateStore, StoreClosed } from "#store/store.ts";
import { commit, put, remove, type StoreFactory, showEntry } from "#store/suite/support.ts";
import { withStore } from "#store/suite/with-store.ts";

/** Declares the tests. */
export function immediateTests(factory: StoreFactory): void {
  const withImmediate = (body: (store: ImmediateStore) => Promise<void>) =>
    withStore(factory, async (store) => {
      assert.ok(isImmediate(store));
      await body(store);
    });

  test(
    "the newest entry is there at once, and gone when it was deleted",
    withImmediate(async (store) => {
      await commit(store, put("/a", "1"));
      await commit(store, put("/a", "2"));
      assert.equal(showEntry(store.current("/a")), "/a=2@2/3");

      await commit(store, remove("/a"));
      assert.equal(store.current("/a"), undefined);
      assert.equal(store.current("/b"), undefined);
    }),
  );

  test(
    "what a write under way changes shows when the watches are told, for all of its keys, and not before",
    withImmediate(async (store) => {
      await commit(store, put("/a", "1"), put("/b", "1"));
      const seen: (string | undefined)[] = [];
      const look = (): void => void seen.push(showEntry(store.current("/a")), showEntry(store.current("/b")));
      const stop = await store.watch({ prefix: "/a" }, { onEvents: look, onEnd() {} });

      const writes = [commit(store, put("/a", "2"), put("/b", "2")), commit(store, put("/a", "3"))];
      look();
      await Promise.all(writes);
      stop();

      assert.deepEqual(seen.slice(0, 2), ["/a=1@2/2", "/b=1@2/2"]);
      assert.ok(["/a=2@2/3", "/a=3@2/4"].includes(seen[2] ?? ""), seen[2]);
      assert.equal(seen[3], "/b=2@2/3");
      assert.equal(seen.at(-2), "/a=3@2/4");
    }),
  );

  test(
    "a closed store cannot be read",
    withImmediate(async (store) => {
      await store.close();

      assert.throws(() => store.current("/a"), StoreClosed);
    }),
  );
}
