/** Bindings and evictions. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";

const pods: ResourceRef = { resource: { group: "", version: "v1", resource: "pods" }, namespace: "default" };
const web: ResourceRef = { ...pods, name: "web" };
const budgets: ResourceRef = {
  resource: { group: "policy", version: "v1", resource: "poddisruptionbudgets" },
  namespace: "default",
};

function createPod(client: Client): Promise<Pod> {
  const spec = { containers: [{ name: "c", image: "nginx" }] };
  return client.create<Pod>(pods, { metadata: { name: "web", labels: { app: "web" } }, spec } as Pod);
}

function bind(client: Client, node: string): Promise<KubeObject> {
  const binding = { metadata: { name: "web" }, target: { kind: "Node", name: node } };
  return client.create({ ...web, subresource: "binding" }, binding as KubeObject);
}

function evict(client: Client): Promise<KubeObject> {
  return client.create({ ...web, subresource: "eviction" }, { metadata: { name: "web" } });
}

test("a binding puts a pod on a node, once", async () => {
  const server = await startTestApiServer();
  const { client } = server;
  await createPod(client);

  await bind(client, "n1");
  const bound = await client.get<Pod>(web);
  await assert.rejects(bind(client, "n2"), {
    code: 409,
    message: 'Operation cannot be fulfilled on pods/binding "web": pod web is already assigned to node "n1"',
  });

  assert.equal(bound.spec?.nodeName, "n1");
  assert.equal(bound.status?.conditions?.[0]?.type, "PodScheduled");
  await server.stop();
});

test("an eviction that a disruption budget forbids is 429, else the pod is deleted gracefully", async () => {
  const server = await startTestApiServer();
  const { client } = server;
  await createPod(client);
  await bind(client, "n1");
  const ready = { phase: "Running", conditions: [{ type: "Ready", status: "True" }] };
  await client.patch({ ...web, subresource: "status" }, { type: "merge", body: { status: ready } });
  const budget = { metadata: { name: "b" }, spec: { minAvailable: 1, selector: { matchLabels: { app: "web" } } } };
  await client.create(budgets, budget as KubeObject);
  const status = { ...budgets, name: "b", subresource: "status" };
  const counts = { observedGeneration: 1, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 };
  await client.patch(status, { type: "merge", body: { status: { ...counts, disruptionsAllowed: 0 } } });

  await assert.rejects(evict(client), {
    code: 429,
    message: "Cannot evict pod as it would violate the pod's disruption budget.",
  });
  await client.patch(status, { type: "merge", body: { status: { ...counts, disruptionsAllowed: 1 } } });
  await evict(client);
  const going = await client.get<Pod>(web);

  assert.ok(going.metadata?.deletionTimestamp);
  assert.equal(going.metadata?.deletionGracePeriodSeconds, 30);
  assert.ok(going.status?.conditions?.some((condition) => condition.type === "DisruptionTarget"));
  await server.stop();
});

test("a pod on a node goes gracefully, a shorter grace counts, and zero ends it at once", async () => {
  const server = await startTestApiServer();
  const { client } = server;
  await createPod(client);
  await bind(client, "n1");

  const first = await client.delete(web);
  const longer = await client.delete(web, { gracePeriodSeconds: 60 });
  const shorter = await client.delete(web, { gracePeriodSeconds: 5 });
  await client.delete(web, { gracePeriodSeconds: 0 });

  assert.equal(first.metadata?.deletionGracePeriodSeconds, 30);
  assert.equal(longer.metadata?.deletionGracePeriodSeconds, 30);
  assert.equal(shorter.metadata?.deletionGracePeriodSeconds, 5);
  await assert.rejects(client.get(web), { code: 404 });
  await server.stop();
});

test("the scale of a Deployment is read and written by itself", async () => {
  const server = await startTestApiServer();
  const { client } = server;
  const deployments: ResourceRef = {
    resource: { group: "apps", version: "v1", resource: "deployments" },
    namespace: "default",
  };
  const template = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c", image: "nginx" }] } };
  const spec = { replicas: 1, selector: { matchLabels: { app: "web" } }, template };
  await client.create(deployments, { metadata: { name: "web" }, spec } as KubeObject);
  const ref = { ...deployments, name: "web", subresource: "scale" };

  const scale = await client.get<KubeObject & { spec: object; status: object }>(ref);
  await client.patch(ref, { type: "merge", body: { spec: { replicas: 3 } } });
  const scaled = await client.get<KubeObject & { spec: { replicas: number } }>({ ...deployments, name: "web" });

  assert.deepEqual(
    { spec: scale.spec, status: scale.status },
    { spec: { replicas: 1 }, status: { replicas: 0, selector: "app=web" } },
  );
  assert.equal(scaled.spec.replicas, 3);
  assert.equal(scaled.metadata?.generation, 2);
  await server.stop();
});
