import assert from "node:assert/strict";
import { test } from "node:test";
import { AddressPool, OutOfAddresses } from "./addresses.ts";

test("addresses go round, so that one that was given back rests", () => {
  const pool = new AddressPool("10.42.0.0/29");

  const first = [pool.take(), pool.take()];
  pool.giveBack("10.42.0.1");

  assert.deepEqual(first, ["10.42.0.1", "10.42.0.2"]);
  assert.equal(pool.take(), "10.42.0.3");
});

test("a full range says so, and an address that came back is given again", () => {
  const pool = new AddressPool("10.42.0.0/29");
  const all = Array.from({ length: 6 }, () => pool.take());

  assert.throws(() => pool.take(), OutOfAddresses);
  pool.giveBack(all[3] ?? "");
  assert.equal(pool.take(), "10.42.0.4");
});

test("what records name is not given out, and the next ones come after it", () => {
  const pool = new AddressPool("10.42.1.0/24");
  pool.note("10.42.1.1");
  pool.note("10.42.1.7");

  assert.equal(pool.take(), "10.42.1.8");
});

test("a range that holds no pods is refused", () => {
  for (const cidr of ["10.0.0.0/31", "10.0.0.0", "x"]) assert.throws(() => new AddressPool(cidr), /not a range|NaN/);
});
