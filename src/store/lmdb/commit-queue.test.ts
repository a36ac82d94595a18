import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { CommitQueue } from "#store/lmdb/commit-queue.ts";
import { LmdbDatabase } from "#store/lmdb/database.ts";
import { Room } from "#store/lmdb/room.ts";
import { withFolder } from "#store/lmdb/testing/temporary-folder.ts";
import { StoreFull } from "#store/store.ts";
import { put, remove } from "#store/suite/support.ts";

const MIB = 1 << 20;

/** A queue on a real file, whose commits can be made to fail, and which counts them. */
async function withQueue(
  body: (parts: {
    queue: CommitQueue;
    commits: () => number;
    failNext: (...errors: Error[]) => void;
    clock: FakeClock;
    reserve: { isFree: boolean };
  }) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const database = LmdbDatabase.open(join(folder, "data.mdb"), { maxBytes: 64 * MIB });
    const commit = database.commit.bind(database);
    const errors: Error[] = [];
    let count = 0;
    database.commit = async (what) => {
      count++;
      const error = errors.shift();
      if (error) throw error;
      await commit(what);
    };
    const clock = new FakeClock();
    const state = { isFree: true };
    const reserve = { take: () => state.isFree, release: () => void (state.isFree = false) };
    const bounds = { maxBytes: 32 * MIB, reserveBytes: MIB };
    const room = new Room({ reserve, isReserveHeld: true, database, ...bounds, clock, logger: silentLogger });
    const queue = new CommitQueue({ database, room, state: { revision: 1, compactedRevision: 0 }, onCommitted() {} });
    await body({
      queue,
      commits: () => count,
      failNext: (...more) => void errors.push(...more),
      clock,
      reserve: state,
    });
    await queue.drain();
    await database.close();
  });
}

test("writes of one turn share a commit, and so do those that come while it is running", async () => {
  await withQueue(async ({ queue, commits }) => {
    const first = Array.from({ length: 10 }, (_, i) => queue.write([put(`/first/${i}`, "1")]));
    await new Promise((resolve) => setImmediate(resolve));
    const second = Array.from({ length: 10 }, (_, i) => queue.write([put(`/second/${i}`, "1")]));
    await Promise.all([...first, ...second]);

    assert.equal(commits(), 2);
    assert.equal(queue.state.revision, 21);
  });
});

test("a commit that fails for another reason than room fails its writers, and nothing is written after it", async () => {
  await withQueue(async ({ queue, failNext }) => {
    await queue.write([put("/a", "1")]);
    failNext(new Error("the disk does not answer"));

    const writes = await Promise.allSettled([queue.write([put("/a", "2")]), queue.compact(2)]);
    assert.deepEqual(
      writes.map((outcome) => outcome.status),
      ["rejected", "rejected"],
    );
    await assert.rejects(queue.write([put("/a", "3")]), /the disk does not answer/);
    assert.deepEqual([queue.state.revision, queue.isSound], [2, false]);
  });
});

test("without room creates are refused first, then changes; deletes are tried to the end; then all is as before", async () => {
  await withQueue(async ({ queue, failNext, clock, reserve }) => {
    const full = () => new StoreFull("the disk is full");
    await queue.write([put("/a", "1"), put("/b", "1")]);

    failNext(full());
    const [create, change] = await Promise.allSettled([queue.write([put("/new", "1")]), queue.write([put("/a", "2")])]);
    assert.deepEqual([create.status, change.status], ["rejected", "fulfilled"]);

    failNext(full());
    const [again, gone] = await Promise.allSettled([queue.write([put("/a", "3")]), queue.write([remove("/b")])]);
    assert.deepEqual([again.status, gone.status], ["rejected", "fulfilled"]);

    failNext(full());
    await assert.rejects(queue.write([remove("/a")]), StoreFull);

    reserve.isFree = true;
    await clock.advance(2000);
    assert.ok((await queue.write([put("/new", "1"), put("/a", "4")])).ok);
    assert.equal(queue.isSound, true);
  });
});
