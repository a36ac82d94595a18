import assert from "node:assert/strict";
import { test } from "node:test";
import type { ReplicaSet } from "#api/generated/types/apps-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import { controllerOf } from "#apimachinery/owner-references.ts";
import { pods, replicaSets } from "#controllers/common/resources.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createReplicaSetController } from "./replicaset-controller.ts";

function replicaSet(replicas: number, more: object = {}): ReplicaSet {
  const labels = { app: "web" };
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: { name: "web" },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "c" }] } },
      ...more,
    },
  };
}

function pod(name: string, labels: Record<string, string>): Pod {
  return { apiVersion: "v1", kind: "Pod", metadata: { name, labels }, spec: { containers: [] } };
}

test("missing pods are created and counted as they become ready", async () => {
  const cluster = new TestCluster();
  await cluster.start(createReplicaSetController);

  await cluster.create(replicaSets, replicaSet(3));
  await cluster.settle();
  await cluster.runPods();

  const all = await cluster.list<Pod>(pods);
  assert.equal(all.length, 3);
  assert.ok(all.every((one) => controllerOf(one)?.name === "web" && one.metadata?.labels?.["app"] === "web"));
  const { status } = await cluster.get<ReplicaSet>(replicaSets, "web");
  assert.deepEqual([status?.replicas, status?.readyReplicas, status?.availableReplicas], [3, 3, 3]);
  assert.equal((await cluster.eventReasons()).filter((reason) => reason === "SuccessfulCreate").length, 3);
  await cluster.stop();
});

test("pods too many are deleted, those that are not ready first", async () => {
  const cluster = new TestCluster();
  await cluster.start(createReplicaSetController);
  await cluster.create(replicaSets, replicaSet(3));
  await cluster.settle();
  const [first, second] = await cluster.list<Pod>(pods);
  await cluster.runPods([first!, second!]);

  await cluster.merge(replicaSets, "web", { spec: { replicas: 2 } });
  await cluster.settle();

  const names = (await cluster.list<Pod>(pods)).map((one) => one.metadata?.name);
  assert.deepEqual(names, [first?.metadata?.name, second?.metadata?.name]);
  await cluster.stop();
});

test("a pod with a lower deletion cost goes first", async () => {
  const cluster = new TestCluster();
  await cluster.start(createReplicaSetController);
  await cluster.create(replicaSets, replicaSet(2));
  await cluster.settle();
  await cluster.runPods();
  const [, second] = await cluster.list<Pod>(pods);
  const annotations = { "controller.kubernetes.io/pod-deletion-cost": "-1" };
  await cluster.merge(pods, second!.metadata!.name!, { metadata: { annotations } });

  await cluster.merge(replicaSets, "web", { spec: { replicas: 1 } });
  await cluster.settle();
  await cluster.reapPods();

  assert.deepEqual(
    (await cluster.list<Pod>(pods)).some((one) => one.metadata?.uid === second?.metadata?.uid),
    false,
  );
  await cluster.stop();
});

test("an orphan that matches is adopted, a pod that matches no longer is released and replaced", async () => {
  const cluster = new TestCluster();
  await cluster.create(pods, pod("orphan", { app: "web" }));
  await cluster.start(createReplicaSetController);
  await cluster.create(replicaSets, replicaSet(1));
  await cluster.settle();
  assert.equal((await cluster.list<Pod>(pods)).length, 1);
  assert.equal(controllerOf(await cluster.get<Pod>(pods, "orphan"))?.name, "web");

  await cluster.merge(pods, "orphan", { metadata: { labels: { app: "other" } } });
  await cluster.settle();

  assert.equal(controllerOf(await cluster.get<Pod>(pods, "orphan")), undefined);
  assert.equal((await cluster.list<Pod>(pods)).length, 2);
  await cluster.stop();
});

test("a finished or deleted pod is replaced", async () => {
  const cluster = new TestCluster();
  await cluster.start(createReplicaSetController);
  await cluster.create(replicaSets, replicaSet(1));
  await cluster.settle();
  const [first] = await cluster.list<Pod>(pods);

  await cluster.setPodPhase(first!.metadata!.name!, "Failed");
  await cluster.settle();

  assert.equal((await cluster.list<Pod>(pods)).length, 2);
  await cluster.stop();
});

test("refused creations stand in a condition, and only a few are tried", async () => {
  let refused = 0;
  const cluster = new TestCluster({
    hook: (request, target) => {
      if (request.method !== "POST" || target.resource !== "pods") return;
      refused++;
      throw new StatusError({ reason: "Forbidden", code: 403, message: "exceeded quota" });
    },
  });
  await cluster.create(replicaSets, replicaSet(100));

  await cluster.start(createReplicaSetController);

  const { status } = await cluster.get<ReplicaSet>(replicaSets, "web");
  assert.equal(status?.conditions?.[0]?.reason, "FailedCreate");
  assert.equal(status?.conditions?.[0]?.message, "exceeded quota");
  assert.ok(refused < 20, `${refused} creations were tried`);
  assert.ok((await cluster.eventReasons()).includes("FailedCreate"));
  await cluster.stop();
});

test("with minReadySeconds a pod is available only after that time", async () => {
  const cluster = new TestCluster();
  await cluster.start(createReplicaSetController);
  await cluster.create(replicaSets, replicaSet(1, { minReadySeconds: 10 }));
  await cluster.settle();
  await cluster.runPods();
  const before = await cluster.get<ReplicaSet>(replicaSets, "web");

  await cluster.clock.advance(11_000);
  await cluster.settle();

  const after = await cluster.get<ReplicaSet>(replicaSets, "web");
  assert.deepEqual([before.status?.readyReplicas, before.status?.availableReplicas], [1, 0]);
  assert.equal(after.status?.availableReplicas, 1);
  await cluster.stop();
});
