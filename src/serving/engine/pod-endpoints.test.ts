import assert from "node:assert/strict";
import { it } from "node:test";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { endpointOf } from "./pod-endpoints.ts";

function podOf(status: object, metadata: object = {}): Pod {
  const containers = [
    { name: "helper", ports: [{ containerPort: 9090 }] },
    { name: "user", ports: [{ name: "user-port", containerPort: 8080 }] },
  ];
  return { metadata: { uid: "u", ...metadata }, spec: { nodeName: "n1", containers }, status } as Pod;
}
const runs = { podIP: "10.0.0.1", containerStatuses: [{ name: "user", state: { running: {} } }] };
const ready = { conditions: [{ type: "Ready", status: "True" }] };

it("a revision's pod takes requests at the user's port once its program runs at an address, until it is to end", () => {
  const state = (pod: Pod) => endpointOf(pod)?.state;

  assert.equal(state(podOf({})), undefined);
  assert.equal(state(podOf({ ...runs, containerStatuses: [] })), undefined);
  assert.equal(state(podOf({ ...runs, phase: "Running" })), "starting");
  assert.deepEqual(endpointOf(podOf({ ...runs, phase: "Running", ...ready })), {
    address: "10.0.0.1",
    port: 8080,
    pod: "u",
    node: "n1",
    state: "ready",
  });
  assert.equal(state(podOf({ ...runs, ...ready }, { deletionTimestamp: "2026-01-01T00:00:00Z" })), "terminating");
  assert.equal(state(podOf({ ...runs, phase: "Failed" })), undefined);
});
