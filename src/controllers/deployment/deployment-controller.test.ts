import assert from "node:assert/strict";
import { test } from "node:test";
import type { Deployment, ReplicaSet } from "#api/generated/types/apps-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { findCondition } from "#controllers/common/conditions.ts";
import { deployments, pods, replicaSets } from "#controllers/common/resources.ts";
import { createReplicaSetController } from "#controllers/replicaset/replicaset-controller.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createDeploymentController } from "./deployment-controller.ts";

function deployment(replicas: number, more: object = {}): Deployment {
  const labels = { app: "web" };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web" },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: template("v1"),
      ...more,
    },
  };
}

function template(image: string) {
  return { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c", image }] } };
}

async function setUp(object: Deployment): Promise<TestCluster> {
  const cluster = new TestCluster();
  await cluster.start(createReplicaSetController, createDeploymentController);
  await cluster.create(deployments, object);
  await cluster.settle();
  return cluster;
}

async function sizes(cluster: TestCluster): Promise<Record<string, number>> {
  const sets = await cluster.list<ReplicaSet>(replicaSets);
  return Object.fromEntries(
    sets.map((set) => [set.spec?.template?.spec?.containers[0]?.image ?? "", set.spec?.replicas ?? 0]),
  );
}

async function setImage(cluster: TestCluster, image: string): Promise<void> {
  await cluster.merge(deployments, "web", { spec: { template: template(image) } });
  await cluster.settle();
}

/** Plays kubelet until nothing changes any more; gives the fewest ready and the most pods seen on the way. */
async function runToEnd(cluster: TestCluster): Promise<{ readonly fewestReady: number; readonly mostPods: number }> {
  let [fewestReady, mostPods] = [Number.POSITIVE_INFINITY, 0];
  for (let round = 0; round < 15; round++) {
    const all = (await cluster.list<Pod>(pods)).filter((pod) => pod.metadata?.deletionTimestamp === undefined);
    const ready = all.filter((pod) => pod.status?.phase === "Running");
    fewestReady = Math.min(fewestReady, ready.length);
    mostPods = Math.max(mostPods, all.length);
    await cluster.runPods();
    await cluster.reapPods();
  }
  return { fewestReady, mostPods };
}

test("a new deployment gets one replica set, named by the hash of its template", async () => {
  const cluster = await setUp(deployment(2));
  await cluster.runPods();

  const [set] = await cluster.list<ReplicaSet>(replicaSets);
  const hash = set?.metadata?.labels?.["pod-template-hash"];
  assert.equal(set?.metadata?.name, `web-${hash}`);
  assert.equal(set?.spec?.selector?.matchLabels?.["pod-template-hash"], hash);
  const { metadata, status } = await cluster.get<Deployment>(deployments, "web");
  assert.equal(metadata?.annotations?.["deployment.kubernetes.io/revision"], "1");
  assert.deepEqual([status?.replicas, status?.updatedReplicas, status?.availableReplicas], [2, 2, 2]);
  assert.equal(findCondition(status?.conditions, "Available")?.status, "True");
  assert.equal(findCondition(status?.conditions, "Progressing")?.reason, "NewReplicaSetAvailable");
  assert.ok((await cluster.eventReasons()).includes("ScalingReplicaSet"));
  await cluster.stop();
});

test("a rolling update keeps within maxSurge and maxUnavailable", async () => {
  const cluster = await setUp(deployment(4, { strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } } }));
  await runToEnd(cluster);

  await setImage(cluster, "v2");
  const { fewestReady, mostPods } = await runToEnd(cluster);

  assert.deepEqual(await sizes(cluster), { v1: 0, v2: 4 });
  assert.ok(fewestReady >= 3, `${fewestReady} were ready`);
  assert.ok(mostPods <= 5, `${mostPods} pods at once`);
  const { metadata, status } = await cluster.get<Deployment>(deployments, "web");
  assert.equal(metadata?.annotations?.["deployment.kubernetes.io/revision"], "2");
  assert.equal(findCondition(status?.conditions, "Progressing")?.reason, "NewReplicaSetAvailable");
  await cluster.stop();
});

test("new pods that never become ready stop the rollout, and the deadline says so", async () => {
  const cluster = await setUp(deployment(4, { progressDeadlineSeconds: 60 }));
  await runToEnd(cluster);

  await setImage(cluster, "broken");
  await cluster.reapPods();
  await cluster.clock.advance(62_000);
  await cluster.settle();

  assert.deepEqual(await sizes(cluster), { v1: 3, broken: 2 });
  const { status } = await cluster.get<Deployment>(deployments, "web");
  assert.equal(findCondition(status?.conditions, "Progressing")?.reason, "ProgressDeadlineExceeded");
  await cluster.stop();
});

test("going back to an old template takes up its replica set with a new revision", async () => {
  const cluster = await setUp(deployment(1));
  await runToEnd(cluster);
  await setImage(cluster, "v2");
  await runToEnd(cluster);

  await setImage(cluster, "v1");
  await runToEnd(cluster);

  assert.deepEqual(await sizes(cluster), { v1: 1, v2: 0 });
  const sets = await cluster.list<ReplicaSet>(replicaSets);
  const back = sets.find((set) => set.spec?.replicas === 1);
  assert.equal(back?.metadata?.annotations?.["deployment.kubernetes.io/revision"], "3");
  assert.equal(back?.metadata?.annotations?.["deployment.kubernetes.io/revision-history"], "1");
  await cluster.stop();
});

test("recreate lets all old pods go before the first new one comes", async () => {
  const cluster = await setUp(deployment(2, { strategy: { type: "Recreate" } }));
  await cluster.runPods();

  await setImage(cluster, "v2");
  const during = await sizes(cluster);
  await cluster.reapPods();

  assert.deepEqual(during, { v1: 0 });
  assert.deepEqual(await sizes(cluster), { v1: 0, v2: 2 });
  await cluster.stop();
});

test("scaling in the middle of a rollout spreads over old and new sets", async () => {
  const cluster = await setUp(deployment(10, { strategy: { rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } } }));
  await runToEnd(cluster);
  await setImage(cluster, "v2");
  assert.deepEqual(await sizes(cluster), { v1: 8, v2: 5 });

  await cluster.merge(deployments, "web", { spec: { replicas: 15 } });
  await cluster.settle();

  assert.deepEqual(await sizes(cluster), { v1: 11, v2: 7 });
  await cluster.stop();
});

test("a paused deployment is scaled but not rolled out", async () => {
  const cluster = await setUp(deployment(2));
  await cluster.runPods();
  await cluster.merge(deployments, "web", { spec: { paused: true } });
  await setImage(cluster, "v2");

  await cluster.merge(deployments, "web", { spec: { replicas: 3 } });
  await cluster.settle();

  assert.deepEqual(await sizes(cluster), { v1: 3 });
  const { status } = await cluster.get<Deployment>(deployments, "web");
  assert.equal(findCondition(status?.conditions, "Progressing")?.reason, "DeploymentPaused");
  await cluster.stop();
});

test("old replica sets beyond the history limit are deleted", async () => {
  const cluster = await setUp(deployment(1, { revisionHistoryLimit: 1 }));
  for (const image of ["v2", "v3", "v4"]) {
    await setImage(cluster, image);
    await runToEnd(cluster);
  }

  assert.deepEqual(await sizes(cluster), { v3: 0, v4: 1 });
  await cluster.stop();
});

test("a hash that another replica set has is avoided by counting collisions", async () => {
  const first = await setUp(deployment(1));
  const [taken] = await first.list<ReplicaSet>(replicaSets);
  await first.stop();
  const cluster = new TestCluster();
  const other = {
    ...taken,
    metadata: { name: taken!.metadata!.name! },
    spec: { ...taken!.spec, template: template("other") },
  };
  await cluster.create(replicaSets, other as ReplicaSet);
  await cluster.start(createDeploymentController);

  await cluster.create(deployments, deployment(1));
  await cluster.settle();

  const { status } = await cluster.get<Deployment>(deployments, "web");
  assert.equal(status?.collisionCount, 1);
  assert.equal((await cluster.list<ReplicaSet>(replicaSets)).length, 2);
  await cluster.stop();
});
