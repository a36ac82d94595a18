/** When history goes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { compactForever } from "./compaction.ts";

async function setup(): Promise<{
  /** Lets half a minute pass in which so much is written, and gives how far back history reaches, in half minutes. */
  readonly pass: (writtenBytes?: number) => Promise<number>;
  readonly failNext: () => void;
  readonly end: () => void;
}> {
  const clock = new FakeClock();
  const stop = new AbortController();
  const state = { revision: 0, compacted: 0, dropped: 0, failures: 0 };
  const store = {
    currentRevision: () => state.revision,
    async compact(revision: number) {
      if (state.failures-- > 0) throw new Error("the disk is full");
      state.compacted = revision;
    },
  };
  const cache = { changedBytes: 0, dropBefore: (revision: number) => void (state.dropped = revision) };
  void compactForever({ store, clock, cache, logger: silentLogger }, stop.signal);
  return {
    async pass(writtenBytes = 0) {
      state.revision += 1;
      cache.changedBytes += writtenBytes;
      await clock.advance(30_000);
      assert.equal(state.dropped, state.compacted);
      return state.revision - state.compacted;
    },
    failNext: () => void (state.failures = 1),
    end: () => stop.abort(),
  };
}

async function inTurn(times: number, once: () => Promise<number>): Promise<number[]> {
  const seen: number[] = [];
  while (seen.length < times) seen.push(await once());
  return seen;
}

test("history reaches back five minutes, and hardly more", async () => {
  const { pass, end } = await setup();

  assert.deepEqual(await inTurn(13, pass), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 10]);
  end();
});

test("where much is written it reaches back less", async () => {
  const { pass, end } = await setup();

  assert.deepEqual(await inTurn(6, () => pass(150 << 20)), [1, 2, 3, 4, 4, 4]);
  assert.deepEqual(await inTurn(2, () => pass(600 << 20)), [1, 1]);
  end();
});

test("after a compaction that failed the next drops all that is due", async () => {
  const { pass, failNext, end } = await setup();
  await inTurn(11, pass);
  failNext();

  assert.deepEqual(await inTurn(2, pass), [11, 10]);
  end();
});
