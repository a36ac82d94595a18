/**
 * Objects that are large enough to be worked on in steps, through the whole API: they come out as when all is done at once, as it is for callers in this process.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { startTestApiServer } from "./testing/test-api-server.ts";

const COUNT = 9000;
const core = (resource: string): ResourceRef => ({
  resource: { group: "", version: "v1", resource },
  namespace: "default",
});
const keys = Array.from({ length: COUNT }, (_, index) => `key-${(index * 7919) % COUNT}`);
const env = keys.map((key, index) => ({ name: `E_${key}`, value: index % 5 === 0 ? "" : "größe" }));
const configMap = { data: Object.fromEntries(keys.map((key) => [key, `value of ${key}`])) };
const pod = { spec: { containers: [{ name: "c", image: "i", env }] } };

/** What does not depend on when and by whom it was made. */
function essence(object: KubeObject): unknown {
  const { metadata, ...rest } = object;
  const owned = metadata?.managedFields?.map(({ manager: _manager, time: _time, ...entry }) => entry);
  return JSON.parse(JSON.stringify({ ...rest, labels: metadata?.labels, owned }));
}

async function create(client: Client, name: string, resource: string, object: object): Promise<KubeObject> {
  return await client.create(core(resource), { metadata: { name }, ...object } as KubeObject, { fieldManager: name });
}

test("a large object is stored and owned as it is when all is done at once", async () => {
  const { client, httpClient, stop } = await startTestApiServer({ https: true });
  const overHttps = httpClient();
  try {
    for (const [resource, object] of [
      ["configmaps", configMap],
      ["pods", pod],
    ] as const) {
      const atOnce = await create(client, "at-once", resource, object);

      const inSteps = await create(overHttps, "in-steps", resource, object);

      assert.deepEqual(essence(inSteps), essence(atOnce));
      assert.deepEqual(essence(await client.get({ ...core(resource), name: "in-steps" })), essence(atOnce));
    }
  } finally {
    await stop();
  }
});

test("a large object is patched, and what is too long for its kind refused without storing it", async () => {
  const { client, httpClient, store, stop } = await startTestApiServer({ https: true });
  const target = { ...core("configmaps"), name: "one" };
  try {
    await create(client, "one", "configmaps", configMap);

    const patched = await httpClient().patch<KubeObject & { readonly data: Readonly<Record<string, string>> }>(
      target,
      { type: "merge", body: { data: { "key-1": null, "key-2": "new" }, metadata: { labels: { a: "b" } } } },
      { fieldManager: "two" },
    );
    assert.equal(patched.data["key-2"], "new");
    assert.equal(Object.keys(patched.data).length, COUNT - 1);
    assert.deepEqual(
      patched.metadata?.managedFields?.map(({ manager, fieldsV1 }) => [
        manager,
        JSON.stringify(fieldsV1).length > 1000,
      ]),
      [
        ["one", true],
        ["two", false],
      ],
    );

    const before = store.currentRevision();
    const tooMuch = Object.fromEntries(keys.map((key) => [key, "x".repeat(130)]));
    await assert.rejects(httpClient().patch(target, { type: "merge", body: { data: tooMuch } }), {
      code: 422,
      message: 'ConfigMap "one" is invalid: []: Too long: may not be more than 1048576 bytes',
    });
    assert.equal(store.currentRevision(), before);
  } finally {
    await stop();
  }
});
