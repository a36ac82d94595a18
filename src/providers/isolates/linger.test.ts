import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { connectionsOf, Lingering, passiveOpens } from "./linger.ts";

describe("an isolate that is to end", () => {
  it("ends at once when nobody ever came, or no grace is given", async () => {
    const lingering = new Lingering(new FakeClock());

    assert.equal(await lingering.wait("a", 30, () => 0), 30);
    assert.equal(await lingering.wait("a", 0, () => 7), 0);
  });

  it("takes connections for half a second more, and then until none has come for a quarter", async () => {
    const clock = new FakeClock();
    const begunMs = clock.now();
    const quiet = new Lingering(clock).wait("a", 30, () => 7);
    const busy = new Lingering(clock).wait("b", 30, () => 7 + Math.min(clock.now() - begunMs, 900));
    const ends: string[] = [];
    for (const [name, wait] of Object.entries({ quiet, busy }))
      void wait.then((left) => ends.push(`${name} ${clock.now() - begunMs} ${left}`));

    for (let step = 0; step < 100; step++) await clock.advance(50);

    assert.deepEqual(ends, ["quiet 500 29.5", "busy 1150 28.85"]);
  });

  it("lingers for half of its grace at most, and for five seconds", async () => {
    const clock = new FakeClock();
    const begunMs = clock.now();
    const ends: number[] = [];
    for (const grace of [2, 30]) {
      const wait = new Lingering(clock).wait("a", grace, () => clock.now());
      void wait.then(() => ends.push(clock.now() - begunMs));
    }

    for (let step = 0; step < 200; step++) await clock.advance(50);

    assert.deepEqual(ends, [1000, 5000]);
  });

  it("ends when it is asked for again, in whatever is left then", async () => {
    const clock = new FakeClock();
    const lingering = new Lingering(clock);
    const first = lingering.wait("a", 30, () => 7);
    await clock.advance(100);

    assert.equal(await lingering.wait("a", 2, () => 7), 2);
    assert.equal(await first, 29.9);
  });
});

describe("what the kernel knows of connections", () => {
  it("counts those that were accepted", () => {
    const text = "Ip: A B\nIp: 1 2\nTcp: RtoMin ActiveOpens PassiveOpens\nTcp: 200 5 17\n";

    assert.equal(passiveOpens(text), 17);
    assert.equal(passiveOpens(""), undefined);
  });

  it("finds the sockets of an address on either side, but who listens", () => {
    const table = `  sl  local_address rem_address   st
   0: 05012A7F:1F90 00000000:0000 0A 0
   1: 05012A7F:1F90 0100007F:8201 01 0
   2: 0100007F:8201 05012A7F:1F90 06 0
   3: 0100007F:8201 06012A7F:1F90 06 0`;

    assert.equal(connectionsOf("127.42.1.5", table), 2);
    assert.equal(connectionsOf("127.42.1.7", table), 0);
  });
});
