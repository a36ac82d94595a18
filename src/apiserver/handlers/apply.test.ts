import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";

const deployments: ResourceRef = {
  resource: { group: "apps", version: "v1", resource: "deployments" },
  namespace: "default",
};
const web = { ...deployments, name: "web" };

type Deployment = KubeObject & { readonly spec: { readonly replicas?: number } };

function wanted(replicas: number | undefined): object {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "default" },
    spec: {
      ...(replicas === undefined ? {} : { replicas }),
      selector: { matchLabels: { app: "web" } },
      template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web", image: "nginx" }] } },
    },
  };
}

function apply(client: Client, body: object, fieldManager: string, force = false): Promise<Deployment> {
  return client.patch<Deployment>(web, { type: "apply", body }, { fieldManager, force });
}

function ownersOf(object: KubeObject): readonly string[] {
  return (object.metadata?.managedFields ?? []).map((entry) => `${entry.manager} ${entry.operation}`);
}

test("an apply creates, a second one merges, a third one takes away", async () => {
  const { client, stop } = await startTestApiServer();
  const created = await apply(client, wanted(2), "me");
  const same = await apply(client, wanted(2), "me");
  const fewer = await apply(client, wanted(undefined), "me");
  await stop();

  assert.equal(created.spec.replicas, 2);
  assert.deepEqual(ownersOf(created), ["me Apply"]);
  assert.equal(created.metadata?.generation, 1);
  assert.equal(same.metadata?.resourceVersion, created.metadata?.resourceVersion);
  assert.equal(fewer.spec.replicas, 1, "the default comes back");
});

test("what another manager owns is a conflict until it is forced", async () => {
  const { client, stop } = await startTestApiServer();
  await client.create(deployments, wanted(1) as KubeObject, { fieldManager: "one" });
  await assert.rejects(apply(client, wanted(3), "me"), {
    code: 409,
    message: 'Apply failed with 1 conflict: conflict with "one" using apps/v1: .spec.replicas',
  });
  const forced = await apply(client, wanted(3), "me", true);
  await stop();

  assert.equal(forced.spec.replicas, 3);
  assert.deepEqual(ownersOf(forced), ["me Apply", "one Update"]);
});

test("an update that changes nothing writes nothing", async () => {
  const { client, stop } = await startTestApiServer();
  const created = await client.create<Deployment>(deployments, wanted(1) as Deployment);
  const updated = await client.update<Deployment>(web, created);
  await stop();

  assert.equal(updated.metadata?.resourceVersion, created.metadata?.resourceVersion);
  assert.deepEqual(updated.metadata?.managedFields, created.metadata?.managedFields);
});

test("an apply without a manager is refused", async () => {
  const { client, stop } = await startTestApiServer();
  await assert.rejects(client.patch(web, { type: "apply", body: wanted(1) }), {
    code: 422,
    message: 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
  });
  await stop();
});
