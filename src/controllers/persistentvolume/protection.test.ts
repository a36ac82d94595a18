import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import { persistentVolumeClaims, persistentVolumes, pods } from "#controllers/common/resources.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createClaimProtection, createVolumeProtection } from "./protection.ts";

const namespace = "default";

function held(kind: string, name: string, more: object = {}): KubeObject {
  const isClaim = kind === "PersistentVolumeClaim";
  const finalizers = [isClaim ? "kubernetes.io/pvc-protection" : "kubernetes.io/pv-protection"];
  return { apiVersion: "v1", kind, metadata: { name, ...(isClaim && { namespace }), finalizers }, ...more };
}

function podWith(name: string, claimName: string, nodeName?: string): KubeObject {
  const volumes = [{ name: "data", persistentVolumeClaim: { claimName } }];
  const spec = { containers: [{ name: "c", image: "i" }], volumes, ...(nodeName && { nodeName }) };
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace }, spec } as KubeObject;
}

test("a deleted claim goes when no pod on a node uses it any more", async () => {
  const cluster = new TestCluster();
  await cluster.start(createClaimProtection);
  for (const name of ["used", "waited-for", "free"])
    await cluster.create(persistentVolumeClaims, held("PersistentVolumeClaim", name));
  await cluster.create(pods, podWith("runs", "used", "n1"));
  await cluster.create(pods, podWith("waits", "waited-for"));
  const left = async () => (await cluster.list(persistentVolumeClaims)).map(({ metadata }) => metadata?.name).sort();
  await cluster.settle();
  assert.deepEqual(await left(), ["free", "used", "waited-for"]);

  for (const name of ["used", "waited-for", "free"])
    await cluster.client.delete({ resource: persistentVolumeClaims, namespace, name });
  await cluster.settle();
  assert.deepEqual(await left(), ["used"]);

  await cluster.client.delete({ resource: pods, namespace, name: "runs" }, { gracePeriodSeconds: 0 });
  await cluster.settle();
  assert.deepEqual(await left(), []);
  await cluster.stop();
});

test("a deleted volume goes unless a claim is bound to it", async () => {
  const cluster = new TestCluster();
  await cluster.start(createVolumeProtection);
  await cluster.client.create(
    { resource: persistentVolumes },
    held("PersistentVolume", "free", { status: { phase: "Available" } }),
  );
  await cluster.client.create(
    { resource: persistentVolumes },
    held("PersistentVolume", "bound", { status: { phase: "Bound" } }),
  );

  for (const name of ["free", "bound"]) await cluster.client.delete({ resource: persistentVolumes, name });
  await cluster.settle();

  const left = (await cluster.list(persistentVolumes)).map(({ metadata }) => metadata?.name);
  assert.deepEqual(left, ["bound"]);
  await cluster.stop();
});
