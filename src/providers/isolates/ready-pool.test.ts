import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { ReadyPool } from "./ready-pool.ts";

describe("the pool of those that are ready", () => {
  it("makes nothing before the first is taken, then as many as it may hold", async () => {
    const { pool, clock, made } = setUp();
    await passTime(clock);
    assert.equal(made.length, 0);

    assert.equal(pool.take(), undefined);
    await passTime(clock);

    assert.deepEqual(made, [1, 2]);
    assert.equal(pool.count, 2);
  });

  it("gives the oldest, and makes another once it is quiet", async () => {
    const { pool, clock, made } = setUp();
    pool.take();
    await passTime(clock);

    assert.equal(pool.take(), 1);
    pool.postpone();
    assert.equal(made.length, 2);
    await passTime(clock);

    assert.deepEqual(made, [1, 2, 3]);
  });

  it("makes none while a pod is on its way, but does not wait for the end of starts that follow each other", async () => {
    const { pool, clock, made, use } = setUp();
    use.isBusy = true;
    pool.take();
    await passTime(clock);
    assert.equal(made.length, 0);
    use.isBusy = false;
    await passTime(clock);
    assert.equal(made.length, 2);

    use.isBusy = true;
    pool.take();
    for (let round = 0; round < 19; round++) {
      pool.postpone();
      await passTime(clock);
    }
    assert.equal(made.length, 2);
    await passTime(clock);
    assert.equal(made.length, 3);
  });

  it("does not give one that has died, and takes it away", async () => {
    const { pool, clock, dead, discarded } = setUp();
    pool.take();
    await passTime(clock);
    dead.add(1);

    assert.equal(pool.take(), 2);

    assert.deepEqual(discarded, [1]);
  });

  it("tries again after a failure, later", async () => {
    const { pool, clock, made, failures } = setUp();
    failures.count = 1;
    pool.take();
    await passTime(clock);
    assert.equal(made.length, 0);

    await passTime(clock, 5000);

    assert.equal(pool.count, 2);
  });

  it("gives up those that wait when none has been in use for long, and fills up again with the next", async () => {
    const { pool, clock, discarded, use } = setUp();
    pool.take();
    await passTime(clock);
    use.isInUse = true;
    await passTime(clock, 300_000);
    assert.deepEqual(discarded, []);

    use.isInUse = false;
    await passTime(clock, 300_000);
    assert.deepEqual(discarded, [1, 2]);
    pool.take();
    await passTime(clock);

    assert.equal(pool.count, 2);
  });

  it("takes all away when it is stopped", async () => {
    const { pool, clock, discarded } = setUp();
    pool.take();
    await passTime(clock);

    await pool.stop();

    assert.deepEqual(discarded, [1, 2]);
    assert.equal(pool.take(), undefined);
    await passTime(clock);
    assert.equal(pool.count, 0);
  });
});

function setUp() {
  const clock = new FakeClock();
  const made: number[] = [];
  const discarded: number[] = [];
  const dead = new Set<number>();
  const failures = { count: 0 };
  const use = { isInUse: false, isBusy: false };
  const pool = new ReadyPool<number>({
    size: 2,
    make: async () => {
      if (failures.count-- > 0) throw new Error("not now");
      made.push(made.length + 1);
      return made.length;
    },
    isInUse: () => use.isInUse,
    isBusy: () => use.isBusy,
    isAlive: (item) => !dead.has(item),
    discard: async (item) => void discarded.push(item),
    clock,
    logger: silentLogger,
  });
  return { pool, clock, made, discarded, dead, failures, use };
}

async function passTime(clock: FakeClock, ms = 100): Promise<void> {
  await clock.advance(ms);
  await new Promise((resolve) => setImmediate(resolve));
}
