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
