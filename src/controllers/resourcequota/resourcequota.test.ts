import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, ResourceQuota } from "#api/generated/types/core-v1.ts";
import { pods, resourceQuotas } from "#controllers/common/resources.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createResourceQuotaController } from "./resourcequota-controller.ts";

const namespace = "default";

function pod(name: string, phase = "Running"): Pod {
  const containers = [{ name: "c", image: "x", resources: { requests: { cpu: "100m" } } }];
  return { metadata: { name, namespace }, spec: { containers }, status: { phase } } as Pod;
}

test("a new quota learns what is used, and gets back what ends or goes", async (context) => {
  const cluster = new TestCluster();
  context.after(() => cluster.stop());
  const { client } = cluster;
  const ref = { resource: resourceQuotas, namespace };
  const used = async () => {
    await cluster.settle();
    return (await client.get<ResourceQuota>({ ...ref, name: "q" })).status?.used;
  };
  await client.create({ resource: pods, namespace }, pod("a"));
  await client.create({ resource: pods, namespace }, pod("b"));
  await client.create({ resource: pods, namespace }, pod("done", "Succeeded"));
  await cluster.start(createResourceQuotaController);

  await client.create<ResourceQuota>(ref, {
    metadata: { name: "q", namespace },
    spec: { hard: { pods: "5", "requests.cpu": "1" } },
  });
  assert.deepEqual(await used(), { pods: "2", "requests.cpu": "200m" });

  await client.delete({ resource: pods, namespace, name: "a" });
  assert.deepEqual(await used(), { pods: "1", "requests.cpu": "100m" });

  const b = await client.get<Pod>({ resource: pods, namespace, name: "b" });
  await client.update(
    { resource: pods, namespace, name: "b", subresource: "status" },
    { ...b, status: { phase: "Failed" } },
  );
  assert.deepEqual(await used(), { pods: "0", "requests.cpu": "0" });
});
