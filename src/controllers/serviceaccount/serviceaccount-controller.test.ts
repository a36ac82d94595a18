import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConfigMap, ServiceAccount } from "#api/generated/types/core-v1.ts";
import { configMaps, namespaces, serviceAccounts } from "#controllers/common/resources.ts";
import { createRootCaPublisher } from "#controllers/rootcacertpublisher/rootca-publisher.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createServiceAccountController } from "./serviceaccount-controller.ts";

test("each namespace gets its default account and the root CA, also after they were deleted or changed", async () => {
  const cluster = new TestCluster();
  await cluster.createClusterScoped(namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: "default" } });
  await cluster.start(createServiceAccountController, (context) => createRootCaPublisher(context, "PEM"));
  await cluster.get<ServiceAccount>(serviceAccounts, "default");

  await cluster.client.delete({ resource: serviceAccounts, namespace: "default", name: "default" });
  await cluster.merge(configMaps, "kube-root-ca.crt", { data: { "ca.crt": "other" } });
  await cluster.settle();

  assert.equal((await cluster.get<ServiceAccount>(serviceAccounts, "default")).kind, "ServiceAccount");
  assert.deepEqual((await cluster.get<ConfigMap>(configMaps, "kube-root-ca.crt")).data, { "ca.crt": "PEM" });
  await cluster.stop();
});
