import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event, PersistentVolumeClaim } from "#api/generated/types/core-v1.ts";
import { persistentVolumeClaims } from "#controllers/common/resources.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createClaimEvents } from "./claim-events.ts";

const storageClasses = { group: "storage.k8s.io", version: "v1", resource: "storageclasses" };

function claim(name: string, spec: object): PersistentVolumeClaim {
  const access = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name, namespace: "default" },
    spec: { ...access, ...spec },
  } as PersistentVolumeClaim;
}

test("a claim that is not bound says why", async () => {
  const cluster = new TestCluster();
  await cluster.start(createClaimEvents);
  await cluster.client.create(
    { resource: storageClasses },
    { apiVersion: "storage.k8s.io/v1", kind: "StorageClass", metadata: { name: "fast" } },
  );
  for (const one of [
    claim("plain", {}),
    claim("none", { storageClassName: "" }),
    claim("missing", { storageClassName: "nosuch" }),
    claim("classed", { storageClassName: "fast" }),
    claim("bound", { volumeName: "pv" }),
  ])
    await cluster.create(persistentVolumeClaims, one);
  await cluster.settle();

  const events = await cluster.list<Event>({ group: "", version: "v1", resource: "events" });
  const said = Object.fromEntries(
    events.map(({ involvedObject, type, reason, message }) => [involvedObject.name, `${type} ${reason} ${message}`]),
  );

  const unclassed = "Normal FailedBinding no persistent volumes available for this claim and no storage class is set";
  assert.equal(said["plain"], unclassed);
  assert.equal(said["none"], unclassed);
  assert.equal(said["missing"], 'Warning ProvisioningFailed storageclass.storage.k8s.io "nosuch" not found');
  assert.match(
    said["classed"] ?? "",
    /^Warning ProvisioningFailed no volumes are provided yet, by storage class "fast"/,
  );
  assert.equal("bound" in said, false);
  await cluster.stop();
});
