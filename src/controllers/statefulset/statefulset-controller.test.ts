import assert from "node:assert/strict";
import { test } from "node:test";
import type { StatefulSet } from "#api/generated/types/apps-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { controllerRevisions, persistentVolumeClaims, pods, statefulSets } from "#controllers/common/resources.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createStatefulSetController } from "./statefulset-controller.ts";

const labels = { app: "db" };

function template(image: string) {
  return { metadata: { labels }, spec: { containers: [{ name: "c", image }] } };
}

function statefulSet(replicas: number, more: object = {}): StatefulSet {
  const spec = { replicas, serviceName: "db", selector: { matchLabels: labels }, template: template("v1"), ...more };
  return { apiVersion: "apps/v1", kind: "StatefulSet", metadata: { name: "db" }, spec } as StatefulSet;
}

async function setUp(object: StatefulSet): Promise<TestCluster> {
  const cluster = new TestCluster();
  await cluster.start(createStatefulSetController);
  await cluster.create(statefulSets, object);
  await cluster.settle();
  return cluster;
}

async function names(cluster: TestCluster): Promise<string> {
  const all = await cluster.list<Pod>(pods);
  return all
    .map((pod) => `${pod.metadata?.name}:${pod.spec?.containers[0]?.image}`)
    .sort()
    .join(" ");
}

test("pods come one after another, each when the one before is ready", async () => {
  const cluster = await setUp(statefulSet(2));
  assert.equal(await names(cluster), "db-0:v1");

  await cluster.runPods();
  assert.equal(await names(cluster), "db-0:v1 db-1:v1");
  await cluster.runPods();

  const [first] = await cluster.list<Pod>(pods);
  assert.deepEqual([first?.spec?.hostname, first?.spec?.subdomain], ["db-0", "db"]);
  assert.equal(first?.metadata?.labels?.["statefulset.kubernetes.io/pod-name"], "db-0");
  const { status } = await cluster.get<StatefulSet>(statefulSets, "db");
  assert.deepEqual(
    [status?.replicas, status?.readyReplicas, status?.updatedReplicas, status?.currentReplicas],
    [2, 2, 2, 2],
  );
  assert.equal(status?.currentRevision, status?.updateRevision);
  await cluster.stop();
});

test("with the policy Parallel all pods come at once", async () => {
  const cluster = await setUp(statefulSet(3, { podManagementPolicy: "Parallel" }));

  assert.equal(await names(cluster), "db-0:v1 db-1:v1 db-2:v1");
  await cluster.stop();
});

test("pods go in reverse order, one after another", async () => {
  const cluster = await setUp(statefulSet(3));
  for (let i = 0; i < 3; i++) await cluster.runPods();

  await cluster.merge(statefulSets, "db", { spec: { replicas: 1 } });
  await cluster.settle();
  const leaving = (await cluster.list<Pod>(pods)).filter((pod) => pod.metadata?.deletionTimestamp !== undefined);
  assert.deepEqual(
    leaving.map((pod) => pod.metadata?.name),
    ["db-2"],
  );
  await cluster.reapPods();
  await cluster.reapPods();

  assert.equal(await names(cluster), "db-0:v1");
  await cluster.stop();
});

test("a rollout replaces from the highest ordinal down and stops at the partition", async () => {
  const cluster = await setUp(
    statefulSet(3, { updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 1 } } }),
  );
  for (let i = 0; i < 3; i++) await cluster.runPods();

  await cluster.merge(statefulSets, "db", { spec: { template: template("v2") } });
  await cluster.settle();
  const leaving = (await cluster.list<Pod>(pods)).filter((pod) => pod.metadata?.deletionTimestamp !== undefined);
  assert.deepEqual(
    leaving.map((pod) => pod.metadata?.name),
    ["db-2"],
  );
  for (let i = 0; i < 3; i++) {
    await cluster.reapPods();
    await cluster.runPods();
  }
  assert.equal(await names(cluster), "db-0:v1 db-1:v2 db-2:v2");

  await cluster.merge(statefulSets, "db", { spec: { updateStrategy: { rollingUpdate: { partition: 0 } } } });
  await cluster.settle();
  await cluster.reapPods();
  await cluster.runPods();

  assert.equal(await names(cluster), "db-0:v2 db-1:v2 db-2:v2");
  const { status } = await cluster.get<StatefulSet>(statefulSets, "db");
  assert.equal(status?.currentRevision, status?.updateRevision);
  assert.equal((await cluster.list(controllerRevisions)).length, 2);
  await cluster.stop();
});

test("each pod has its own claims, which stay when it goes", async () => {
  const claim = { metadata: { name: "data" }, spec: { accessModes: ["ReadWriteOnce"] } };
  const cluster = await setUp(statefulSet(1, { volumeClaimTemplates: [claim] }));
  await cluster.runPods();
  const [pod] = await cluster.list<Pod>(pods);
  assert.equal(pod?.spec?.volumes?.[0]?.persistentVolumeClaim?.claimName, "data-db-0");

  await cluster.merge(statefulSets, "db", { spec: { replicas: 0 } });
  await cluster.settle();
  await cluster.reapPods();

  assert.deepEqual(
    (await cluster.list(persistentVolumeClaims)).map((one) => one.metadata?.name),
    ["data-db-0"],
  );
  await cluster.stop();
});

test("a pod that ended is made anew under its name", async () => {
  const cluster = await setUp(statefulSet(1));
  await cluster.runPods();
  const [before] = await cluster.list<Pod>(pods);

  await cluster.setPodPhase("db-0", "Failed");
  await cluster.settle();
  await cluster.reapPods();

  const [after] = await cluster.list<Pod>(pods);
  assert.equal(after?.metadata?.name, "db-0");
  assert.notEqual(after?.metadata?.uid, before?.metadata?.uid);
  await cluster.stop();
});
