import assert from "node:assert/strict";
import { test } from "node:test";
import type { Balance, EndpointConfig } from "#proxy/config/cluster.ts";
import type { BalancedEndpoint } from "./balancer.ts";
import { createBalancer } from "./create-balancer.ts";

const isOpen = () => true;

function endpoints(count: number, more: (index: number) => Partial<EndpointConfig> = () => ({})): BalancedEndpoint[] {
  return Array.from({ length: count }, (_, index) => ({
    config: { address: `10.0.0.${index}`, port: 80, ...more(index) },
    active: 0,
  }));
}

/** A sequence that is the same in each run. */
function sequence(): () => number {
  let state = 7;
  return () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647;
}

function balancerOf(kind: "leastRequest" | "roundRobin", all: readonly BalancedEndpoint[]) {
  return createBalancer({ kind }, all, sequence());
}

test("least request takes the idle endpoint; equals take turns", () => {
  const all = endpoints(3);
  const balancer = balancerOf("leastRequest", all);
  all[0]!.active = 2;
  all[1]!.active = 1;

  assert.equal(balancer.choose({ isOpen, hashKey: undefined }), all[2]);
  for (const one of all) one.active = 0;
  const seen = new Set(all.map(() => balancer.choose({ isOpen, hashKey: undefined })));
  assert.equal(seen.size, 3);
});

test("least request counts weights, and among many takes the better of two", () => {
  const weighted = endpoints(2, (index) => ({ weight: index === 0 ? 4 : 1 }));
  weighted[0]!.active = 2;
  assert.equal(balancerOf("leastRequest", weighted).choose({ isOpen, hashKey: undefined }), weighted[0]);

  const many = endpoints(100);
  const balancer = balancerOf("leastRequest", many);
  for (let request = 0; request < 1000; request++) {
    const chosen = balancer.choose({ isOpen, hashKey: undefined });
    if (chosen !== undefined) chosen.active++;
  }
  const loads = many.map(({ active }) => active);
  assert.ok(Math.max(...loads) <= 14, `the busiest has ${Math.max(...loads)}, the mean is 10`);
});

test("round robin follows the weights and mixes", () => {
  const all = endpoints(3, (index) => ({ weight: [5, 1, 1][index]! }));
  const balancer = balancerOf("roundRobin", all);
  const order = Array.from({ length: 7 }, () => all.indexOf(balancer.choose({ isOpen, hashKey: undefined })!));

  assert.deepEqual(order, [0, 0, 1, 0, 2, 0, 0]);
});

test("the same key meets the same endpoint, and one that goes moves only its share", () => {
  const balance: Balance = { kind: "consistentHash", by: { kind: "address" } };
  const all = endpoints(10);
  const before = createBalancer(balance, all, sequence());
  const after = createBalancer(balance, all.slice(1), sequence());
  const keys = Array.from({ length: 2000 }, (_, index) => `user-${index}`);
  const counts = new Map<BalancedEndpoint, number>();
  let moved = 0;
  for (const hashKey of keys) {
    const chosen = before.choose({ isOpen, hashKey })!;
    counts.set(chosen, (counts.get(chosen) ?? 0) + 1);
    if (chosen !== all[0] && after.choose({ isOpen, hashKey }) !== chosen) moved++;
  }

  assert.equal(moved, 0);
  assert.equal(counts.size, 10);
  assert.ok(Math.max(...counts.values()) < 300, `the busiest has ${Math.max(...counts.values())} of 2000`);
});

test("draining endpoints, those of weight 0 and those that are not open are not chosen", () => {
  for (const kind of ["leastRequest", "roundRobin"] as const) {
    const all = endpoints(4, (index) => (index === 0 ? { isDraining: true } : index === 1 ? { weight: 0 } : {}));
    const balancer = balancerOf(kind, all);
    const notThird = (endpoint: BalancedEndpoint) => endpoint !== all[2];

    assert.equal(balancer.choose({ isOpen: notThird, hashKey: undefined }), all[3]);
    assert.equal(balancer.choose({ isOpen: () => false, hashKey: undefined }), undefined);
  }
  const none = createBalancer({ kind: "consistentHash", by: { kind: "address" } }, [], sequence());
  assert.equal(none.choose({ isOpen, hashKey: "a" }), undefined);
});
