import assert from "node:assert/strict";
import { test } from "node:test";
import { planTests, shareOf } from "./test-plan.ts";

test("every test runs once, and those of a guest system only when they are named", () => {
  const { unit, withoutCluster, besideOthers, alone } = planTests();
  const endToEnd = [...withoutCluster, ...besideOthers, ...alone];

  assert.ok(unit.length > 300);
  assert.ok(endToEnd.length > 40);
  assert.equal(new Set([...unit, ...endToEnd]).size, unit.length + endToEnd.length);
  assert.ok(!endToEnd.some((file) => file.includes("guest")));
  assert.deepEqual(planTests(["guest"]).alone, ["test/guest/guest.e2e.ts"]);
});

test("whoever is named to run beside others is there", () => {
  assert.equal(planTests().besideOthers.length, 15);
  assert.ok(planTests().withoutCluster.length >= 7);
});

test("shares have every file once", () => {
  const { unit } = planTests();
  const shares = [shareOf(unit, { number: 0, of: 2 }), shareOf(unit, { number: 1, of: 2 })];

  assert.deepEqual(shares.flat().sort(), [...unit].sort());
  assert.ok(Math.abs((shares[0]?.length ?? 0) - (shares[1]?.length ?? 0)) <= 1);
});
