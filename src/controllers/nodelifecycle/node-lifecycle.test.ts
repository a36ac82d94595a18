import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Pod } from "#api/generated/types/core-v1.ts";
import { formatMicroTime } from "#apimachinery/time.ts";
import { leases, nodes, pods } from "#controllers/common/resources.ts";
import { createPodGarbageCollector } from "#controllers/podgc/pod-garbage-collector.ts";
import { createTaintEvictionController } from "#controllers/tainteviction/taint-eviction.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createNodeLifecycleController } from "./node-lifecycle.ts";

function node(name: string, ready = "True"): Node {
  const conditions = [{ type: "Ready", status: ready, lastHeartbeatTime: "2026-01-01T00:00:00Z" }];
  return { apiVersion: "v1", kind: "Node", metadata: { name }, spec: {}, status: { conditions } } as Node;
}

function pod(name: string, nodeName: string, more: object = {}): Pod {
  const conditions = [{ type: "Ready", status: "True" }];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: { nodeName, containers: [], ...more },
    status: { phase: "Running", conditions },
  } as Pod;
}

function lease(name: string, renewTime: string) {
  return { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { name }, spec: { renewTime } };
}

async function setUp(...all: readonly Node[]): Promise<TestCluster> {
  const cluster = new TestCluster();
  for (const one of all) await cluster.createClusterScoped(nodes, one);
  for (const { metadata } of all) {
    await cluster.create(leases, lease(metadata!.name!, formatMicroTime(cluster.clock.now())), "kube-node-lease");
  }
  await cluster.start(createNodeLifecycleController, createTaintEvictionController, createPodGarbageCollector);
  return cluster;
}

async function beat(cluster: TestCluster, name: string): Promise<void> {
  const body = { spec: { renewTime: formatMicroTime(cluster.clock.now()) } };
  await cluster.client.patch({ resource: leases, namespace: "kube-node-lease", name }, { type: "merge", body });
}

async function taintsOf(cluster: TestCluster, name: string): Promise<readonly string[]> {
  const found = await cluster.client.get<Node>({ resource: nodes, name });
  return (found.spec?.taints ?? []).map((taint) => `${taint.key}:${taint.effect}`).sort();
}

/** Lets time pass while only these nodes send heartbeats. */
async function pass(cluster: TestCluster, seconds: number, ...alive: readonly string[]): Promise<void> {
  for (let passed = 0; passed < seconds; passed += 10) {
    for (const name of alive) await beat(cluster, name);
    await cluster.settle();
    await cluster.clock.advance(10_000);
  }
  await cluster.settle();
}

test("a silent node becomes Unknown, is tainted, and its pods are not ready", async () => {
  const cluster = await setUp(node("a"), node("b"));
  await cluster.create(pods, pod("p", "a"));

  await pass(cluster, 60, "b");

  const silent = await cluster.client.get<Node>({ resource: nodes, name: "a" });
  const ready = silent.status?.conditions?.find(({ type }) => type === "Ready");
  assert.deepEqual([ready?.status, ready?.reason], ["Unknown", "NodeStatusUnknown"]);
  assert.deepEqual(await taintsOf(cluster, "a"), [
    "node.kubernetes.io/unreachable:NoExecute",
    "node.kubernetes.io/unreachable:NoSchedule",
  ]);
  assert.deepEqual(await taintsOf(cluster, "b"), []);
  await cluster.stop();
});

test("a node that comes back loses its taints", async () => {
  const cluster = await setUp(node("a"), node("b"));
  await pass(cluster, 60, "b");

  await beat(cluster, "a");
  const conditions = [{ type: "Ready", status: "True", lastHeartbeatTime: "2026-01-01T00:01:30Z" }];
  const ref = { resource: nodes, name: "a", subresource: "status" };
  await cluster.client.patch(ref, { type: "merge", body: { status: { conditions } } });
  await cluster.settle();

  assert.deepEqual(await taintsOf(cluster, "a"), []);
  await cluster.stop();
});

test("when no node is left nobody is evicted", async () => {
  const cluster = await setUp(node("a"));

  await pass(cluster, 60);

  assert.deepEqual(await taintsOf(cluster, "a"), ["node.kubernetes.io/unreachable:NoSchedule"]);
  await cluster.stop();
});

test("nodes that are not ready or cordoned are tainted by that", async () => {
  const cluster = await setUp(node("a", "False"), node("b"));

  await cluster.client.patch(
    { resource: nodes, name: "b" },
    { type: "merge", body: { spec: { unschedulable: true } } },
  );
  await cluster.settle();

  assert.deepEqual(await taintsOf(cluster, "a"), [
    "node.kubernetes.io/not-ready:NoExecute",
    "node.kubernetes.io/not-ready:NoSchedule",
  ]);
  assert.deepEqual(await taintsOf(cluster, "b"), ["node.kubernetes.io/unschedulable:NoSchedule"]);
  await cluster.stop();
});

test("pods are evicted when what they tolerate is over", async () => {
  const cluster = await setUp(node("a"), node("b"));
  const toleration = { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute" };
  await cluster.create(pods, pod("at-once", "a"));
  await cluster.create(pods, pod("later", "a", { tolerations: [{ ...toleration, tolerationSeconds: 60 }] }));
  await cluster.create(pods, pod("never", "a", { tolerations: [toleration] }));
  const leaving = async () =>
    (await cluster.list<Pod>(pods))
      .filter((one) => one.metadata?.deletionTimestamp !== undefined)
      .map((one) => one.metadata?.name);

  await pass(cluster, 60, "b");
  assert.deepEqual(await leaving(), ["at-once"]);
  await pass(cluster, 60, "b");

  assert.deepEqual(await leaving(), ["at-once", "later"]);
  const evicted = await cluster.get<Pod>(pods, "later");
  assert.equal(
    evicted.status?.conditions?.find(({ type }) => type === "DisruptionTarget")?.reason,
    "DeletionByTaintManager",
  );
  await cluster.stop();
});

test("pods of a node that is gone are removed after a while", async () => {
  const cluster = await setUp(node("a"), node("b"));
  await cluster.create(pods, pod("p", "a"));
  await cluster.settle();

  await cluster.client.delete({ resource: nodes, name: "a" });
  await pass(cluster, 30, "b");
  assert.equal((await cluster.list(pods)).length, 1);
  await pass(cluster, 20, "b");

  assert.equal((await cluster.list(pods)).length, 0);
  await cluster.stop();
});

test("the oldest finished pods beyond the limit are removed", async () => {
  const cluster = new TestCluster();
  await cluster.createClusterScoped(nodes, node("a"));
  await cluster.start((context) => createPodGarbageCollector(context, { maxFinished: 2 }));
  for (const name of ["p1", "p2", "p3"]) {
    await cluster.create(pods, pod(name, "a"));
    await cluster.clock.advance(1000);
  }

  for (const name of ["p1", "p2", "p3"]) await cluster.setPodPhase(name, "Succeeded");
  await cluster.settle();
  await cluster.clock.advance(6000);
  await cluster.settle();

  assert.deepEqual(
    (await cluster.list(pods)).map((one) => one.metadata?.name),
    ["p2", "p3"],
  );
  await cluster.stop();
});
