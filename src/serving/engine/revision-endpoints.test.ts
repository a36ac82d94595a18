import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { PodEndpoint } from "./pod-endpoints.ts";
import { RevisionEndpoints } from "./revision-endpoints.ts";

const pod = (state: PodEndpoint["state"], uid = "a", address = "10.0.0.1"): PodEndpoint => ({
  address,
  port: 8080,
  pod: uid,
  node: "n1",
  state,
});
const open = { address: "10.0.0.1", port: 8080 };
const closed = { ...open, isDraining: true };

describe("a revision's endpoints", () => {
  it("get requests when they are ready, or when a probe has proved it sooner", () => {
    const endpoints = new RevisionEndpoints();
    endpoints.update([pod("starting")]);
    assert.deepEqual([endpoints.configs(), endpoints.isServed, endpoints.starting.length], [[closed], false, 1]);

    endpoints.learn(pod("starting"), "proved");
    assert.deepEqual([endpoints.configs(), endpoints.isServed, endpoints.starting.length], [[open], true, 0]);
    endpoints.update([pod("ready")]);
    assert.deepEqual(endpoints.configs(), [open]);
    // What was proved before it was ready says nothing about afterwards.
    endpoints.update([pod("starting")]);
    assert.deepEqual(endpoints.configs(), [closed]);
  });

  it("get nothing while they cannot be reached, and again when they can, whatever the kubelet says meanwhile", () => {
    const endpoints = new RevisionEndpoints();
    endpoints.update([pod("ready")]);
    endpoints.learn(pod("ready"), "suspect");
    assert.deepEqual([endpoints.configs(), endpoints.unproved.length], [[closed], 1]);
    endpoints.clear(pod("ready"));
    assert.deepEqual(endpoints.configs(), [open]);

    endpoints.learn(pod("ready"), "suspect");
    endpoints.update([pod("starting")]);
    endpoints.clear(pod("starting"));
    assert.deepEqual(endpoints.configs(), [open]);
  });

  it("get nothing once their pod is to end, and stay known as long as it is there", () => {
    const endpoints = new RevisionEndpoints();
    endpoints.update([pod("ready")]);
    endpoints.learn(pod("ready"), "leaving");
    endpoints.learn(pod("ready"), "suspect");
    endpoints.clear(pod("ready"));
    assert.deepEqual(endpoints.configs(), [closed]);

    endpoints.update([pod("terminating")]);
    assert.deepEqual(endpoints.configs(), [closed]);
    // Another pod may have the address at once.
    endpoints.update([pod("ready", "b")]);
    assert.deepEqual(endpoints.configs(), [open]);
    endpoints.update([]);
    assert.deepEqual([endpoints.configs(), endpoints.isServed], [[], false]);
  });

  it("are one place where two pods have the same, as an address that is given on at once: open while one of them is", () => {
    for (const order of [
      [pod("terminating", "old"), pod("ready", "new")],
      [pod("ready", "new"), pod("terminating", "old")],
    ]) {
      const endpoints = new RevisionEndpoints();
      endpoints.update(order);
      assert.deepEqual([endpoints.configs(), endpoints.isServed], [[open], true]);

      for (const there of endpoints.find("10.0.0.1:8080")) endpoints.learn(there, "suspect");
      assert.deepEqual([endpoints.configs(), endpoints.isServed], [[closed], false]);
      assert.deepEqual(
        endpoints.unproved.map((one) => one.pod),
        ["new"],
      );
      endpoints.clear(pod("ready", "new"));
      assert.deepEqual([endpoints.configs(), endpoints.isServed], [[open], true]);
    }
  });
});
