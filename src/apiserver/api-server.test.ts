/** The API server as its clients see it: the same tests in-process and over HTTPS. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { startTestApiServer, type TestApiServer } from "./testing/test-api-server.ts";

const configMaps: ResourceRef = {
  resource: { group: "", version: "v1", resource: "configmaps" },
  namespace: "default",
};

type ConfigMap = KubeObject & { readonly data?: Record<string, string> };

for (const way of ["in-process", "https"] as const) {
  test(`objects are created, read, listed, changed and deleted (${way})`, async () => {
    await using setup = await start(way);
    const { client } = setup;

    const made = await client.create<ConfigMap>(configMaps, { metadata: { name: "a" }, data: { x: "1" } } as ConfigMap);
    const read = await client.get<ConfigMap>({ ...configMaps, name: "a" });
    const list = await client.list<ConfigMap>(configMaps);
    const changed = await client.update<ConfigMap>({ ...configMaps, name: "a" }, { ...read, data: { x: "2" } });
    const patched = await client.patch<ConfigMap>(
      { ...configMaps, name: "a" },
      { type: "merge", body: { data: { y: "3" } } },
    );
    const gone = await client.delete({ ...configMaps, name: "a" });

    assert.match(made.metadata?.uid ?? "", /^[0-9a-f-]{36}$/);
    assert.deepEqual(read, made);
    assert.equal(list.kind, "ConfigMapList");
    assert.deepEqual(list.items, [made]);
    assert.notEqual(changed.metadata?.resourceVersion, made.metadata?.resourceVersion);
    assert.deepEqual(patched.data, { x: "2", y: "3" });
    assert.equal((gone as { status?: string }).status, "Success");
    await assert.rejects(client.get({ ...configMaps, name: "a" }), {
      reason: "NotFound",
      code: 404,
      message: 'configmaps "a" not found',
    });
  });

  test(`a watch shows what happens after its resourceVersion (${way})`, async () => {
    await using setup = await start(way);
    const { client } = setup;
    await client.create(configMaps, { metadata: { name: "before" } });
    const { metadata } = await client.list(configMaps);
    const stop = new AbortController();
    const events = await client.watch(configMaps, {
      ...(metadata.resourceVersion === undefined ? {} : { resourceVersion: metadata.resourceVersion }),
      labelSelector: "tier=web",
      signal: stop.signal,
    });

    const ref = { ...configMaps, name: "web" };
    await client.create(configMaps, { metadata: { name: "web", labels: { tier: "web" } } });
    await client.patch(ref, { type: "merge", body: { data: { a: "1" } } });
    await client.patch(ref, { type: "merge", body: { metadata: { labels: { tier: "db" } } } });
    const seen: string[] = [];
    for await (const { type, object } of events) {
      seen.push(`${type} ${object.metadata?.name} ${object.metadata?.labels?.["tier"]}`);
      if (type === "DELETED") break;
    }
    stop.abort();

    assert.deepEqual(seen, ["ADDED web web", "MODIFIED web web", "DELETED web web"]);
  });
}

test("a part that asks without pause lets timers run", async () => {
  await using setup = await start("in-process");
  let hasFired = false;
  setTimeout(() => (hasFired = true), 5);

  let requests = 0;
  while (!hasFired && requests < 100_000) {
    await setup.client.list(configMaps);
    requests++;
  }

  assert.ok(hasFired);
});

test("health, version and discovery are served", async () => {
  await using setup = await start("https");
  const get = async (path: string): Promise<unknown> =>
    (await setup.client.transport.request({ method: "GET", path })).body;

  assert.equal(await get("/readyz"), "ok");
  assert.equal(((await get("/version")) as { major: string }).major, "1");
  assert.ok(JSON.stringify(await get("/apis/apps/v1")).includes('"deployments/scale"'));
  assert.match(
    String(await get("/metrics")),
    /apiserver_request_total\{verb="CREATE",group="",version="v1",resource="namespaces"/,
  );
  await assert.rejects(get("/apis/nope.example.com/v1"), { code: 404 });
});

test("discovery names the host under which others reach the server", async () => {
  for (const [given, host] of [
    [{}, "127.0.0.1"],
    [{ externalHost: "192.0.2.2" }, "192.0.2.2"],
  ] as const) {
    const server = await startTestApiServer({ https: true, ...given });
    const { body } = await server.httpClient().transport.request({ method: "GET", path: "/api" });

    assert.deepEqual((body as { serverAddressByClientCIDRs: object }).serverAddressByClientCIDRs, [
      { clientCIDR: "0.0.0.0/0", serverAddress: `${host}:${server.server.port}` },
    ]);
    await server.stop();
  }
});

type Setup = { readonly client: Client; readonly server: TestApiServer; [Symbol.asyncDispose](): Promise<void> };

async function start(way: "in-process" | "https"): Promise<Setup> {
  const server = await startTestApiServer({ https: way === "https" });
  const client = way === "https" ? server.httpClient() : server.client;
  return { client, server, [Symbol.asyncDispose]: () => server.stop() };
}
