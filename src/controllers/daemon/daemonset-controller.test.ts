import assert from "node:assert/strict";
import { test } from "node:test";
import type { DaemonSet } from "#api/generated/types/apps-v1.ts";
import type { Node, Pod } from "#api/generated/types/core-v1.ts";
import { controllerRevisions, daemonSets, nodes, pods } from "#controllers/common/resources.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { targetNodeOf } from "./daemon-pods.ts";
import { createDaemonSetController } from "./daemonset-controller.ts";

const labels = { app: "agent" };

function template(image: string, more: object = {}) {
  return { metadata: { labels }, spec: { containers: [{ name: "c", image }], ...more } };
}

function daemonSet(more: object = {}): DaemonSet {
  const spec = { selector: { matchLabels: labels }, template: template("v1"), ...more };
  return { apiVersion: "apps/v1", kind: "DaemonSet", metadata: { name: "agent" }, spec } as DaemonSet;
}

function node(name: string, more: { labels?: Record<string, string>; taints?: readonly object[] } = {}): Node {
  const spec = more.taints === undefined ? {} : { taints: more.taints };
  return { apiVersion: "v1", kind: "Node", metadata: { name, labels: more.labels ?? {} }, spec } as Node;
}

async function setUp(object: DaemonSet, ...all: readonly Node[]): Promise<TestCluster> {
  const cluster = new TestCluster();
  for (const one of all) await cluster.createClusterScoped(nodes, one);
  await cluster.start(createDaemonSetController);
  await cluster.create(daemonSets, object);
  await cluster.settle();
  return cluster;
}

async function placement(cluster: TestCluster): Promise<string> {
  const all = (await cluster.list<Pod>(pods)).filter((pod) => pod.metadata?.deletionTimestamp === undefined);
  return all
    .map((pod) => `${targetNodeOf(pod)}:${pod.spec?.containers[0]?.image}`)
    .sort()
    .join(" ");
}

/** Plays scheduler and kubelet. */
async function run(cluster: TestCluster): Promise<void> {
  for (const pod of await cluster.list<Pod>(pods)) await cluster.runPods([pod], targetNodeOf(pod) ?? "");
}

test("every node gets its pod, new ones too", async () => {
  const cluster = await setUp(daemonSet(), node("a"), node("b"));
  assert.equal(await placement(cluster), "a:v1 b:v1");

  await cluster.createClusterScoped(nodes, node("c"));
  await cluster.settle();
  await run(cluster);

  assert.equal(await placement(cluster), "a:v1 b:v1 c:v1");
  const { status } = await cluster.get<DaemonSet>(daemonSets, "agent");
  assert.deepEqual([status?.desiredNumberScheduled, status?.numberReady, status?.updatedNumberScheduled], [3, 3, 3]);
  await cluster.stop();
});

test("only nodes that the template allows get pods, and a cordoned one is allowed", async () => {
  const taints = [{ key: "gpu", effect: "NoSchedule" }];
  const cordoned = [{ key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" }];
  const cluster = await setUp(
    daemonSet({ template: template("v1", { nodeSelector: { disk: "ssd" } }) }),
    node("a", { labels: { disk: "ssd" } }),
    node("b"),
    node("c", { labels: { disk: "ssd" }, taints }),
    node("d", { labels: { disk: "ssd" }, taints: cordoned }),
  );

  assert.equal(await placement(cluster), "a:v1 d:v1");
  await cluster.client.patch(
    { resource: nodes, name: "a" },
    { type: "merge", body: { metadata: { labels: { disk: "hdd" } } } },
  );
  await cluster.settle();

  assert.equal(await placement(cluster), "d:v1");
  await cluster.stop();
});

test("a rollout goes node by node", async () => {
  const cluster = await setUp(daemonSet(), node("a"), node("b"), node("c"));
  await run(cluster);

  await cluster.merge(daemonSets, "agent", { spec: { template: template("v2") } });
  await cluster.settle();
  const leaving = (await cluster.list<Pod>(pods)).filter((pod) => pod.metadata?.deletionTimestamp !== undefined);
  assert.equal(leaving.length, 1);
  for (let i = 0; i < 4; i++) {
    await cluster.reapPods();
    await run(cluster);
  }

  assert.equal(await placement(cluster), "a:v2 b:v2 c:v2");
  assert.equal((await cluster.list(controllerRevisions)).length, 2);
  await cluster.stop();
});

test("with maxSurge the new pod comes before the old one goes", async () => {
  const rollingUpdate = { maxSurge: 1, maxUnavailable: 0 };
  const cluster = await setUp(
    daemonSet({ updateStrategy: { type: "RollingUpdate", rollingUpdate } }),
    node("a"),
    node("b"),
  );
  await run(cluster);

  await cluster.merge(daemonSets, "agent", { spec: { template: template("v2") } });
  await cluster.settle();
  assert.equal((await cluster.list<Pod>(pods)).length, 3);
  for (let i = 0; i < 4; i++) {
    await run(cluster);
    await cluster.reapPods();
  }

  assert.equal(await placement(cluster), "a:v2 b:v2");
  await cluster.stop();
});

test("with OnDelete pods are renewed only when somebody deletes them", async () => {
  const cluster = await setUp(daemonSet({ updateStrategy: { type: "OnDelete" } }), node("a"));
  await run(cluster);
  await cluster.merge(daemonSets, "agent", { spec: { template: template("v2") } });
  await cluster.settle();
  assert.equal(await placement(cluster), "a:v1");

  const [pod] = await cluster.list<Pod>(pods);
  await cluster.client.delete(
    { resource: pods, namespace: "default", name: pod!.metadata!.name! },
    { gracePeriodSeconds: 0 },
  );
  await cluster.settle();

  assert.equal(await placement(cluster), "a:v2");
  await cluster.stop();
});

test("a failed pod is replaced, and further failures wait longer and longer", async () => {
  const cluster = await setUp(daemonSet(), node("a"));
  const fail = async () => {
    const [pod] = await cluster.list<Pod>(pods);
    await cluster.setPodPhase(pod!.metadata!.name!, "Failed");
    await cluster.settle();
    await cluster.reapPods();
    return (await cluster.list<Pod>(pods)).filter((one) => one.metadata?.uid !== pod?.metadata?.uid).length;
  };

  assert.equal(await fail(), 1);
  assert.ok((await cluster.eventReasons()).includes("FailedDaemonPod"));
  await fail();
  assert.equal(await fail(), 0);
  await cluster.clock.advance(3000);
  await cluster.settle();

  const [pod] = await cluster.list<Pod>(pods);
  assert.notEqual(pod?.status?.phase, "Failed");
  await cluster.stop();
});
