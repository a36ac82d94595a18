import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoints } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import { endpointSlices, endpoints, services } from "#controllers/common/resources.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createEndpointSliceMirroringController } from "./endpointslice-mirroring.ts";

function byHand(...ips: readonly string[]): Endpoints {
  const subsets = [{ addresses: ips.map((ip) => ({ ip })), ports: [{ port: 5432 }] }];
  return { apiVersion: "v1", kind: "Endpoints", metadata: { name: "db" }, subsets } as Endpoints;
}

function service(spec: object = {}) {
  return { apiVersion: "v1", kind: "Service", metadata: { name: "db" }, spec: { ports: [{ port: 5432 }], ...spec } };
}

test("endpoints written by hand are mirrored, followed and removed", async () => {
  const cluster = new TestCluster();
  await cluster.start(createEndpointSliceMirroringController);
  await cluster.create(services, service());
  await cluster.create(endpoints, byHand("192.0.2.1"));
  await cluster.settle();
  const addresses = async () =>
    (await cluster.list<EndpointSlice>(endpointSlices)).map((slice) => slice.endpoints?.map((one) => one.addresses[0]));
  assert.deepEqual(await addresses(), [["192.0.2.1"]]);

  await cluster.client.update(
    { resource: endpoints, namespace: "default", name: "db" },
    byHand("192.0.2.1", "192.0.2.2"),
  );
  await cluster.settle();
  assert.deepEqual(await addresses(), [["192.0.2.1", "192.0.2.2"]]);

  await cluster.client.delete({ resource: endpoints, namespace: "default", name: "db" });
  await cluster.settle();
  assert.deepEqual(await addresses(), []);
  await cluster.stop();
});

test("endpoints of a service with a selector are not mirrored", async () => {
  const cluster = new TestCluster();
  await cluster.start(createEndpointSliceMirroringController);
  await cluster.create(services, service({ selector: { app: "db" } }));

  await cluster.create(endpoints, byHand("192.0.2.1"));
  await cluster.settle();

  assert.equal((await cluster.list(endpointSlices)).length, 0);
  await cluster.stop();
});
