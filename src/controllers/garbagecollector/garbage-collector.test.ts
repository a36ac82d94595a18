import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject, OwnerReference } from "#apimachinery/meta.ts";
import { configMaps, deployments, pods, replicaSets } from "#controllers/common/resources.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createGarbageCollector } from "./garbage-collector.ts";

type Made = KubeObject & { readonly metadata: { readonly name?: string; readonly uid?: string } };

function ownedBy(owner: KubeObject, more: Partial<OwnerReference> = {}): OwnerReference {
  const { apiVersion = "", kind = "", metadata } = owner;
  return { apiVersion, kind, name: metadata?.name ?? "", uid: metadata?.uid ?? "", ...more };
}

function object(kind: string, name: string, owners: readonly OwnerReference[] = []): KubeObject {
  const apiVersion = kind === "ConfigMap" || kind === "Pod" ? "v1" : "apps/v1";
  return { apiVersion, kind, metadata: { name, ...(owners.length === 0 ? {} : { ownerReferences: owners }) } };
}

/** A deployment that owns a set that owns a pod. */
async function chain(cluster: TestCluster, more: Partial<OwnerReference> = {}): Promise<void> {
  const deployment = await cluster.create(deployments, object("Deployment", "d"));
  const set = await cluster.create(replicaSets, object("ReplicaSet", "rs", [ownedBy(deployment, more)]));
  await cluster.create(pods, object("Pod", "p", [ownedBy(set, more)]));
}

async function names(cluster: TestCluster): Promise<string> {
  const all = await Promise.all(
    [deployments, replicaSets, pods, configMaps].map((resource) => cluster.list<Made>(resource)),
  );
  return all
    .flat()
    .map((one) => one.metadata.name)
    .join(" ");
}

test("in the background dependents go once their owner is gone", async () => {
  const cluster = new TestCluster();
  await cluster.start(createGarbageCollector);
  await chain(cluster);
  await cluster.settle();

  await cluster.client.delete({ resource: deployments, namespace: "default", name: "d" });
  await cluster.settle();

  assert.equal(await names(cluster), "");
  await cluster.stop();
});

test("in the foreground the owner goes last", async () => {
  const cluster = new TestCluster();
  await cluster.start(createGarbageCollector);
  await chain(cluster, { blockOwnerDeletion: true });
  const hold = { metadata: { finalizers: ["example.com/hold"] } };
  await cluster.merge(pods, "p", hold);
  await cluster.settle();

  const options = { propagationPolicy: "Foreground" } as const;
  await cluster.client.delete({ resource: deployments, namespace: "default", name: "d" }, options);
  await cluster.settle();
  assert.equal(await names(cluster), "d rs p");

  await cluster.merge(pods, "p", { metadata: { finalizers: null } });
  await cluster.settle();
  assert.equal(await names(cluster), "");
  await cluster.stop();
});

test("orphans live on without their owner", async () => {
  const cluster = new TestCluster();
  await cluster.start(createGarbageCollector);
  await chain(cluster);
  await cluster.settle();

  const options = { propagationPolicy: "Orphan" } as const;
  await cluster.client.delete({ resource: deployments, namespace: "default", name: "d" }, options);
  await cluster.settle();

  assert.equal(await names(cluster), "rs p");
  const set = await cluster.get(replicaSets, "rs");
  assert.equal(set.metadata?.ownerReferences?.length ?? 0, 0);
  await cluster.stop();
});

test("what has one owner left stays and forgets the others", async () => {
  const cluster = new TestCluster();
  await cluster.start(createGarbageCollector);
  const first = await cluster.create(configMaps, object("ConfigMap", "first"));
  const second = await cluster.create(configMaps, object("ConfigMap", "second"));
  await cluster.create(pods, object("Pod", "p", [ownedBy(first), ownedBy(second)]));
  await cluster.settle();

  await cluster.client.delete({ resource: configMaps, namespace: "default", name: "first" });
  await cluster.settle();

  const pod = await cluster.get(pods, "p");
  assert.deepEqual(
    pod.metadata?.ownerReferences?.map((owner) => owner.name),
    ["second"],
  );
  await cluster.stop();
});

test("an owner that never was does not keep its dependents", async () => {
  const cluster = new TestCluster();
  const ghost = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "ghost", uid: "no-such-uid" } };
  await cluster.create(pods, object("Pod", "p", [ownedBy(ghost)]));

  await cluster.start(createGarbageCollector);

  assert.equal(await names(cluster), "");
  await cluster.stop();
});

test("an owner made anew under the old name is another one", async () => {
  const cluster = new TestCluster();
  const first = await cluster.create(configMaps, object("ConfigMap", "owner"));
  await cluster.create(pods, object("Pod", "p", [ownedBy(first)]));
  await cluster.client.delete({ resource: configMaps, namespace: "default", name: "owner" });
  await cluster.create(configMaps, object("ConfigMap", "owner"));

  await cluster.start(createGarbageCollector);

  assert.equal(await names(cluster), "owner");
  await cluster.stop();
});

test("an owner in another namespace owns nothing, and an Event says so", async () => {
  const cluster = new TestCluster();
  await cluster.start(createGarbageCollector);
  const owner = await cluster.create(configMaps, object("ConfigMap", "owner"), "other");
  await cluster.settle();

  await cluster.create(pods, object("Pod", "p", [ownedBy(owner)]));
  await cluster.settle();

  assert.equal(await names(cluster), "owner");
  assert.ok((await cluster.eventReasons()).includes("OwnerRefInvalidNamespace"));
  await cluster.stop();
});

test("a circle of owners is deleted in the foreground too", async () => {
  const cluster = new TestCluster();
  await cluster.start(createGarbageCollector);
  const a = await cluster.create(configMaps, object("ConfigMap", "a"));
  const b = await cluster.create(configMaps, object("ConfigMap", "b", [ownedBy(a, { blockOwnerDeletion: true })]));
  await cluster.merge(configMaps, "a", { metadata: { ownerReferences: [ownedBy(b, { blockOwnerDeletion: true })] } });
  await cluster.settle();

  const options = { propagationPolicy: "Foreground" } as const;
  await cluster.client.delete({ resource: configMaps, namespace: "default", name: "a" }, options);
  await cluster.settle();

  assert.equal(await names(cluster), "");
  await cluster.stop();
});

test("a namespaced object may have a cluster-scoped owner", async () => {
  const cluster = new TestCluster();
  await cluster.start(createGarbageCollector);
  const things = { group: "example.com", version: "v1", resource: "things" };
  const thing = await cluster.createClusterScoped(things, {
    apiVersion: "example.com/v1",
    kind: "Thing",
    metadata: { name: "t" },
  });
  await cluster.create(configMaps, object("ConfigMap", "c", [ownedBy(thing)]));
  await cluster.settle();
  assert.equal(await names(cluster), "c");

  await cluster.client.delete({ resource: things, name: "t" });
  await cluster.settle();

  assert.equal(await names(cluster), "");
  await cluster.stop();
});

test("a kind that another part begins to follow is followed once, and what happens meanwhile is seen", async () => {
  const cluster = new TestCluster();
  await cluster.start(createGarbageCollector);
  await chain(cluster);
  await cluster.settle();

  for (const resource of [deployments, replicaSets]) cluster.context.informers.informer({ resource });
  await cluster.settle();
  await cluster.clock.advance(5 * 60_000);
  await cluster.settle();
  await cluster.client.delete({ resource: deployments, namespace: "default", name: "d" });
  await cluster.settle();

  assert.equal(await names(cluster), "");
  await cluster.stop();
});
