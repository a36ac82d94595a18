import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";
import type { Cluster } from "#cmd/machine/clusters.ts";
import { ensureClusterObjects } from "./cluster-objects.ts";

const nodes = { resource: { group: "", version: "v1", resource: "nodes" } };

test("objects that every cluster has are made once, and surplus nodes of its own go", async (context) => {
  const server = await startTestApiServer({ services: { cidr: "10.43.0.0/16", apiAddress: "127.0.0.1" } });
  context.after(() => server.stop());
  const { client } = server;
  for (const name of ["c", "c-1", "c-2", "c-3", "c-x", "other-9"])
    await client.create(nodes, { apiVersion: "v1", kind: "Node", metadata: { name } });
  const pods = { resource: { group: "", version: "v1", resource: "pods" }, namespace: "default" };
  for (const nodeName of ["c", "c-2", "c-3"]) {
    const spec = { nodeName, containers: [{ name: "a", image: "a" }] };
    await client.create(pods, { metadata: { name: `on-${nodeName}` }, spec } as KubeObject);
  }
  const cluster = { record: { name: "c", slot: 1, nodes: 2 } } as Cluster;

  await ensureClusterObjects(client, cluster);
  await ensureClusterObjects(client, cluster);

  const { items } = await client.list(nodes);
  assert.deepEqual(items.map(({ metadata }) => metadata?.name).sort(), ["c-1", "c-2", "c-x", "other-9"]);
  const left = await client.list(pods);
  assert.deepEqual(left.items.map(({ metadata }) => metadata?.name).sort(), ["on-c-2"]);
  await ensureClusterObjects(client, { record: { name: "c", slot: 1, nodes: 1 } } as Cluster);
  const others = await client.list(nodes);
  assert.deepEqual(others.items.map(({ metadata }) => metadata?.name).sort(), ["c-x", "other-9"]);
});

test("the class of Ingresses is the default one where there is none, and stays as its owner has it", async (context) => {
  const cluster = { record: { name: "c", slot: 1, nodes: 1 } } as Cluster;
  const classes = { resource: { group: "networking.k8s.io", version: "v1", resource: "ingressclasses" } };
  const annotation = "ingressclass.kubernetes.io/is-default-class";
  const start = async () => {
    const server = await startTestApiServer({ services: { cidr: "10.43.0.0/16", apiAddress: "127.0.0.1" } });
    context.after(() => server.stop());
    return server.client;
  };
  const isDefault = async (client: Awaited<ReturnType<typeof start>>) =>
    (await client.get({ ...classes, name: "nodeless" })).metadata?.annotations?.[annotation];

  const alone = await start();
  await ensureClusterObjects(alone, cluster);
  assert.equal(await isDefault(alone), "true");
  const body = { metadata: { annotations: { [annotation]: "false" } } };
  await alone.patch({ ...classes, name: "nodeless" }, { type: "merge", body });
  await ensureClusterObjects(alone, cluster);
  assert.equal(await isDefault(alone), "false");

  const other = await start();
  await other.create(classes, {
    metadata: { name: "nginx", annotations: { [annotation]: "true" } },
    spec: { controller: "k8s.io/ingress-nginx" },
  } as KubeObject);
  await ensureClusterObjects(other, cluster);
  assert.equal(await isDefault(other), undefined);
});
