import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";
import { installDefinitions } from "#client/custom-resources.ts";
import { systemClock as clock } from "#component-base/clock.ts";
import { createMemoryStore } from "#store/memory/memory-store.ts";
import { packFirstObjects, writeFirstObjects } from "./first-objects.ts";

const { signal } = new AbortController();
const crds = { group: "apiextensions.k8s.io", version: "v1", resource: "customresourcedefinitions" };
const widgets = { group: "example.com", version: "v1", resource: "widgets" };
const widgetDefinition = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "widgets.example.com" },
  spec: {
    group: "example.com",
    names: { kind: "Widget", plural: "widgets" },
    scope: "Namespaced",
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: "object",
            properties: { spec: { type: "object", properties: { size: { type: "integer", default: 3 } } } },
          },
        },
      },
    ],
  },
} as KubeObject;

/** What a server makes that is given the definition. */
async function packed(): Promise<string> {
  const api = await startTestApiServer();
  try {
    await installDefinitions(api.client, [widgetDefinition], { clock, signal });
    return await packFirstObjects(api.store, () => true);
  } finally {
    await api.stop();
  }
}

test("a new cluster has the objects, and serves the kinds among them, as soon as its server has started", async () => {
  const text = await packed();
  const api = await startTestApiServer({ firstObjects: async () => text });
  const other = await startTestApiServer({ firstObjects: async () => text });
  try {
    const body = { apiVersion: "example.com/v1", kind: "Widget", metadata: { name: "a" }, spec: {} } as KubeObject;

    const made = await api.client.create({ resource: widgets, namespace: "default" }, body);
    const [one, two] = await Promise.all(
      [api, other].map(({ client }) => client.get({ resource: crds, name: "widgets.example.com" })),
    );

    assert.deepEqual((made as { spec?: object }).spec, { size: 3 });
    assert.notEqual(one?.metadata?.uid, two?.metadata?.uid);
    assert.ok(Math.abs(Date.parse(one?.metadata?.creationTimestamp ?? "") - Date.now()) < 60_000);
    await assert.rejects(
      api.client.create({ resource: widgets, namespace: "default" }, {
        ...body,
        spec: { size: "large" },
      } as KubeObject),
      /must be of type integer/,
    );
  } finally {
    await Promise.all([api.stop(), other.stop()]);
  }
});

test("who installs the kinds there finds nothing to do", async () => {
  const text = await packed();
  const api = await startTestApiServer({ firstObjects: async () => text });
  try {
    const before = api.store.currentRevision();

    await installDefinitions(api.client, [widgetDefinition], { clock, signal });

    assert.equal(api.store.currentRevision(), before);
  } finally {
    await api.stop();
  }
});

test("a store that has something already gets none of them", async () => {
  const store = createMemoryStore();
  await store.write([{ key: "/registry/configmaps/a/b", value: Buffer.from("{}"), expectedRevision: 0 }]);

  const isWritten = await writeFirstObjects(store, packed, clock.now());

  assert.equal(isWritten, false);
  assert.equal(
    await store.get("/registry/customresourcedefinitions.apiextensions.k8s.io/widgets.example.com"),
    undefined,
  );
  await store.close();
});
