import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoints, Pod, Service } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import { endpointSlices, endpoints, nodes, pods, services } from "#controllers/common/resources.ts";
import { settle } from "#client/testing/settle.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createEndpointsController } from "./endpoints-controller.ts";
import { createEndpointSliceController } from "./endpointslice-controller.ts";

function service(spec: object = {}): Service {
  const ports = [{ name: "http", port: 80, targetPort: "web", protocol: "TCP" }];
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", labels: { team: "a" } },
    spec: { clusterIP: "10.1.0.5", ipFamilies: ["IPv4"], selector: { app: "web" }, ports, ...spec },
  } as Service;
}

function pod(
  name: string,
  ip: string,
  more: { ready?: boolean; spec?: object; labels?: Record<string, string> } = {},
): Pod {
  const containers = [{ name: "c", ports: [{ name: "web", containerPort: 8080, protocol: "TCP" }] }];
  const ready = more.ready ?? true;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: more.labels ?? { app: "web" } },
    spec: { nodeName: "n1", containers, ...more.spec },
    status: { phase: "Running", podIPs: [{ ip }], conditions: [{ type: "Ready", status: ready ? "True" : "False" }] },
  } as Pod;
}

async function setUp(): Promise<TestCluster> {
  const cluster = new TestCluster();
  const labels = { "topology.kubernetes.io/zone": "z1" };
  await cluster.createClusterScoped(nodes, { apiVersion: "v1", kind: "Node", metadata: { name: "n1", labels } });
  await cluster.start(createEndpointSliceController, createEndpointsController);
  return cluster;
}

test("a service's slice lists its pods with their conditions, ports, node and zone", async () => {
  const cluster = await setUp();
  await cluster.create(pods, pod("a", "10.0.0.1"));
  await cluster.create(pods, pod("b", "10.0.0.2", { ready: false }));

  await cluster.create(services, service());
  await cluster.settle();

  const [slice, ...others] = await cluster.list<EndpointSlice>(endpointSlices);
  assert.equal(others.length, 0);
  assert.match(slice?.metadata?.name ?? "", /^web-/);
  assert.deepEqual(slice?.metadata?.labels, {
    team: "a",
    "kubernetes.io/service-name": "web",
    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
  });
  assert.deepEqual(slice?.ports, [{ name: "http", port: 8080, protocol: "TCP" }]);
  const [first, second] = slice!.endpoints!;
  assert.deepEqual([first?.addresses, first?.nodeName, first?.zone], [["10.0.0.1"], "n1", "z1"]);
  assert.deepEqual(first?.conditions, { ready: true, serving: true, terminating: false });
  assert.equal(second?.conditions?.ready, false);
  const { subsets } = await cluster.get<Endpoints>(endpoints, "web");
  assert.equal(subsets?.[0]?.addresses?.[0]?.ip, "10.0.0.1");
  assert.equal(subsets?.[0]?.notReadyAddresses?.[0]?.ip, "10.0.0.2");
  assert.deepEqual(subsets?.[0]?.ports, [{ name: "http", port: 8080, protocol: "TCP" }]);
  await cluster.stop();
});

test("a service without pods has one empty slice", async () => {
  const cluster = await setUp();

  await cluster.create(services, service());
  await cluster.settle();

  const all = await cluster.list<EndpointSlice>(endpointSlices);
  assert.deepEqual(
    all.map((slice) => slice.endpoints),
    [[]],
  );
  await cluster.stop();
});

test("pods that come, become ready, lose their label, end and go are followed", async () => {
  const cluster = await setUp();
  await cluster.create(services, service());
  await cluster.create(pods, pod("a", "10.0.0.1", { ready: false }));
  await cluster.create(pods, pod("b", "10.0.0.2"));
  await cluster.create(pods, pod("c", "10.0.0.3"));
  await cluster.settle();
  const addresses = async () =>
    (await cluster.list<EndpointSlice>(endpointSlices)).flatMap((slice) =>
      slice.endpoints!.filter((one) => one.conditions?.ready).map((one) => one.addresses[0]),
    );
  assert.deepEqual((await addresses()).sort(), ["10.0.0.2", "10.0.0.3"]);

  await cluster.setPodPhase("a", "Running", { conditions: [{ type: "Ready", status: "True" }] });
  await cluster.merge(pods, "b", { metadata: { labels: { app: "other" } } });
  await cluster.setPodPhase("c", "Succeeded");
  await cluster.settle();

  assert.deepEqual(await addresses(), ["10.0.0.1"]);
  await cluster.stop();
});

test("a service's only slice stays the same one while pods come and go, and pods that are not ready yet are told of a moment later", async () => {
  const cluster = await setUp();
  await cluster.create(services, service());
  await cluster.settle();
  const [empty] = await cluster.list<EndpointSlice>(endpointSlices);

  await cluster.create(pods, pod("a", "10.0.0.1", { ready: false }));
  await settle();
  assert.deepEqual((await cluster.list<EndpointSlice>(endpointSlices))[0]?.endpoints, []);
  await cluster.clock.advance(100);
  await cluster.settle();
  const [withPod, ...others] = await cluster.list<EndpointSlice>(endpointSlices);
  assert.equal(withPod?.endpoints?.[0]?.conditions?.ready, false);
  await cluster.client.delete({ resource: pods, namespace: "default", name: "a" }, { gracePeriodSeconds: 0 });
  await cluster.clock.advance(100);
  await cluster.settle();
  const [emptyAgain, ...more] = await cluster.list<EndpointSlice>(endpointSlices);

  assert.deepEqual(emptyAgain?.endpoints, []);
  assert.deepEqual([others, more], [[], []]);
  for (const slice of [withPod, emptyAgain]) assert.equal(slice?.metadata?.uid, empty?.metadata?.uid);
  await cluster.stop();
});

test("a terminating pod still serves but is not ready", async () => {
  const cluster = await setUp();
  await cluster.create(services, service());
  await cluster.create(pods, pod("a", "10.0.0.1"));
  await cluster.settle();

  await cluster.client.delete({ resource: pods, namespace: "default", name: "a" });
  await cluster.settle();

  const [slice] = await cluster.list<EndpointSlice>(endpointSlices);
  assert.deepEqual(slice?.endpoints?.[0]?.conditions, { ready: false, serving: true, terminating: true });
  const { subsets } = await cluster.get<Endpoints>(endpoints, "web");
  assert.deepEqual(subsets, []);
  await cluster.stop();
});

test("more than a hundred endpoints take several slices", async () => {
  const cluster = await setUp();
  for (let i = 1; i <= 150; i++) await cluster.create(pods, pod(`p${i}`, `10.0.1.${i}`));

  await cluster.create(services, service());
  await cluster.settle();

  const all = await cluster.list<EndpointSlice>(endpointSlices);
  assert.deepEqual(all.map((slice) => slice.endpoints!.length).sort(), [100, 50]);
  await cluster.stop();
});

test("a headless service gives its pods their host names and may have no ports", async () => {
  const cluster = await setUp();
  await cluster.create(pods, pod("a", "10.0.0.1", { ready: false, spec: { hostname: "db-0", subdomain: "web" } }));

  await cluster.create(services, service({ clusterIP: "None", ports: [], publishNotReadyAddresses: true }));
  await cluster.settle();

  const [slice] = await cluster.list<EndpointSlice>(endpointSlices);
  assert.equal(slice?.metadata?.labels?.["service.kubernetes.io/headless"], "");
  assert.equal(slice?.endpoints?.[0]?.hostname, "db-0");
  assert.equal(slice?.endpoints?.[0]?.conditions?.ready, true);
  await cluster.stop();
});

test("services without a selector and external names are left alone", async () => {
  const cluster = await setUp();
  const { selector: _, ...withoutSelector } = service().spec!;

  await cluster.create(services, { ...service(), spec: withoutSelector });
  await cluster.settle();

  assert.equal((await cluster.list<EndpointSlice>(endpointSlices)).length, 0);
  await cluster.stop();
});

test("endpoints go with their service", async () => {
  const cluster = await setUp();
  await cluster.create(services, service());
  await cluster.settle();

  await cluster.client.delete({ resource: services, namespace: "default", name: "web" });
  await cluster.settle();

  assert.equal((await cluster.list<Endpoints>(endpoints)).length, 0);
  await cluster.stop();
});
