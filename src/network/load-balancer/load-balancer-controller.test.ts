import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseAddress } from "./load-balancer-controller.ts";

const range = { first: "10.42.255.128", last: "10.42.255.130" };

test("the lowest free address is given", () => {
  assert.equal(chooseAddress(range, new Set(["10.42.255.128"]), undefined), "10.42.255.129");
});

test("nothing is given when all are taken", () => {
  const taken = new Set(["10.42.255.128", "10.42.255.129", "10.42.255.130"]);

  assert.equal(chooseAddress(range, taken, undefined), undefined);
});

test("an asked address is given when it is free and in the range", () => {
  assert.equal(chooseAddress(range, new Set(), "10.42.255.130"), "10.42.255.130");
  assert.equal(chooseAddress(range, new Set(["10.42.255.130"]), "10.42.255.130"), undefined);
  assert.equal(chooseAddress(range, new Set(), "192.0.2.1"), undefined);
});
