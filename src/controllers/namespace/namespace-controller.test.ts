import assert from "node:assert/strict";
import { test } from "node:test";
import type { Namespace, Pod } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { findCondition } from "#controllers/common/conditions.ts";
import { configMaps, namespaces, pods } from "#controllers/common/resources.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createNamespaceController } from "./namespace-controller.ts";

async function setUp(): Promise<TestCluster> {
  const cluster = new TestCluster();
  await cluster.createClusterScoped(namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
  await cluster.start(createNamespaceController);
  return cluster;
}

function configMap(name: string, finalizers?: readonly string[]) {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, ...(finalizers === undefined ? {} : { finalizers }) },
  };
}

async function isGone(cluster: TestCluster): Promise<boolean> {
  try {
    await cluster.client.get({ resource: namespaces, name: "shop" });
    return false;
  } catch (error) {
    return hasReason(error, "NotFound");
  }
}

test("a deleted namespace takes everything in it along, other namespaces' content stays", async () => {
  const cluster = await setUp();
  await cluster.create(configMaps, configMap("a"), "shop");
  await cluster.create(configMaps, configMap("b"), "default");

  await cluster.client.delete({ resource: namespaces, name: "shop" });
  await cluster.settle();

  assert.ok(await isGone(cluster));
  assert.deepEqual(
    (await cluster.list(configMaps)).map((one) => one.metadata?.name),
    ["b"],
  );
  await cluster.stop();
});

test("pods end first, the rest waits for them", async () => {
  const cluster = await setUp();
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web" },
    spec: { nodeName: "n1", containers: [] },
  };
  await cluster.create(pods, pod, "shop");
  await cluster.create(configMaps, configMap("a"), "shop");

  await cluster.client.delete({ resource: namespaces, name: "shop" });
  await cluster.settle();

  assert.equal((await cluster.list(configMaps)).length, 1);
  const namespace = await cluster.client.get<Namespace>({ resource: namespaces, name: "shop" });
  const remaining = findCondition(namespace.status?.conditions, "NamespaceContentRemaining");
  assert.equal(remaining?.message, "Some resources are remaining: pods. has 1 resource instances");

  await cluster.reapPods();
  assert.ok(await isGone(cluster));
  await cluster.stop();
});

test("content with finalizers holds the namespace, and its conditions name them", async () => {
  const cluster = await setUp();
  await cluster.create(configMaps, configMap("held", ["example.com/hold"]), "shop");
  await cluster.client.delete({ resource: namespaces, name: "shop" });
  await cluster.settle();
  const namespace = await cluster.client.get<Namespace>({ resource: namespaces, name: "shop" });
  const held = findCondition(namespace.status?.conditions, "NamespaceFinalizersRemaining");
  assert.equal(
    held?.message,
    "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
  );

  const ref = { resource: configMaps, namespace: "shop", name: "held" };
  await cluster.client.patch(ref, { type: "merge", body: { metadata: { finalizers: null } } });
  await cluster.clock.advance(6000);
  await cluster.settle();

  assert.ok(await isGone(cluster));
  await cluster.stop();
});
