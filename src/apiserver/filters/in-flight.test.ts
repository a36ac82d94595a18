/** How many requests are handled at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestInfo } from "#apiserver/request.ts";
import { InFlight, type Leave } from "./in-flight.ts";

const write = { verb: "create", isResourceRequest: true } as RequestInfo;
const read = { verb: "get", isResourceRequest: true } as RequestInfo;

test("a request beyond the bound waits for the one before it, reads do not wait for writes", async () => {
  const inFlight = new InFlight({ maxReads: 1, maxWrites: 2 });
  const order: string[] = [];

  const first = inFlight.enter(write) as Leave;
  void inFlight.enter(write);
  const third = (inFlight.enter(write) as Promise<Leave>).then((leave) => {
    order.push("third");
    return leave;
  });
  const fourth = (inFlight.enter(write) as Promise<Leave>).then(() => order.push("fourth"));
  void inFlight.enter(read);
  assert.equal(inFlight.count, 3);
  order.push("first");
  first();
  (await third)();
  await fourth;

  assert.deepEqual(order, ["first", "third", "fourth"]);
});

test("when too many wait a request is refused", () => {
  const inFlight = new InFlight({ maxReads: 1, maxWrites: 1 });
  for (let i = 0; i <= 4096; i++) void inFlight.enter(write);

  assert.throws(() => inFlight.enter(write), { code: 429 });
});
