import assert from "node:assert/strict";
import { test } from "node:test";
import type { ReplicaSet } from "#api/generated/types/apps-v1.ts";
import type { PodDisruptionBudget } from "#api/generated/types/policy-v1.ts";
import { podDisruptionBudgets, replicaSets } from "#controllers/common/resources.ts";
import { createReplicaSetController } from "#controllers/replicaset/replicaset-controller.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createDisruptionController } from "./disruption-controller.ts";

const labels = { app: "web" };

async function setUp(replicas: number, spec: object): Promise<TestCluster> {
  const cluster = new TestCluster();
  await cluster.start(createReplicaSetController, createDisruptionController);
  const template = { metadata: { labels }, spec: { containers: [{ name: "c" }] } };
  const set = { replicas, selector: { matchLabels: labels }, template };
  await cluster.create(replicaSets, {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: { name: "web" },
    spec: set,
  } as ReplicaSet);
  const budget = { selector: { matchLabels: labels }, ...spec };
  await cluster.create(podDisruptionBudgets, {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: "web" },
    spec: budget,
  });
  await cluster.settle();
  return cluster;
}

async function counts(cluster: TestCluster): Promise<readonly unknown[]> {
  const { status } = await cluster.get<PodDisruptionBudget>(podDisruptionBudgets, "web");
  return [status?.expectedPods, status?.desiredHealthy, status?.currentHealthy, status?.disruptionsAllowed];
}

test("disruptions are allowed as far as enough pods stay healthy", async () => {
  const cluster = await setUp(4, { minAvailable: 3 });
  assert.deepEqual(await counts(cluster), [4, 3, 0, 0]);

  await cluster.runPods();

  assert.deepEqual(await counts(cluster), [4, 3, 4, 1]);
  const { status } = await cluster.get<PodDisruptionBudget>(podDisruptionBudgets, "web");
  assert.equal(status?.conditions?.[0]?.reason, "SufficientPods");
  await cluster.stop();
});

test("percentages and maxUnavailable count by the size of the pods' controller", async () => {
  const cluster = await setUp(4, { maxUnavailable: "25%" });
  await cluster.runPods();
  assert.deepEqual(await counts(cluster), [4, 3, 4, 1]);

  await cluster.merge(replicaSets, "web", { spec: { replicas: 8 } });
  await cluster.settle();

  assert.deepEqual(await counts(cluster), [8, 6, 4, 0]);
  await cluster.stop();
});

test("a budget without pods allows nothing", async () => {
  const cluster = await setUp(0, { minAvailable: 1 });

  assert.deepEqual(await counts(cluster), [0, 1, 0, 0]);
  await cluster.stop();
});
