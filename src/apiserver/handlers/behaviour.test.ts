/** What clients rely on: versions, pages, conditions, dry runs, hostile bodies. Raw requests over the in-process transport, a few over HTTPS. */
import assert from "node:assert/strict";
import { request as httpsRequest } from "node:https";
import { test } from "node:test";
import type { KubeList, KubeObject } from "#apimachinery/meta.ts";
import type { StatusError } from "#apimachinery/status-error.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { startTestApiServer, type TestApiServer } from "#apiserver/testing/test-api-server.ts";

const configMaps: ResourceRef = {
  resource: { group: "", version: "v1", resource: "configmaps" },
  namespace: "default",
};
const path = "/api/v1/namespaces/default/configmaps";

async function seeded(names: readonly string[]): Promise<{ server: TestApiServer; client: Client }> {
  const server = await startTestApiServer();
  for (const name of names) await server.client.create(configMaps, { metadata: { name, labels: { n: name } } });
  return { server, client: server.client };
}

async function get(client: Client, query: Record<string, string>): Promise<KubeList> {
  return (await client.transport.request({ method: "GET", path, query })).body as KubeList;
}

test("pages of a list are of one revision, whatever is written in between", async () => {
  const { server, client } = await seeded(["a", "b", "c", "d", "e"]);

  const first = await get(client, { limit: "2" });
  await client.delete({ ...configMaps, name: "d" });
  await client.create(configMaps, { metadata: { name: "cc" } });
  const second = await get(client, { limit: "2", continue: first.metadata.continue ?? "" });
  const third = await get(client, { limit: "2", continue: second.metadata.continue ?? "" });

  assert.equal(first.metadata.remainingItemCount, 3);
  assert.deepEqual(
    [first, second, third].flatMap((page) => page.items.map((item) => item.metadata?.name)),
    ["a", "b", "c", "d", "e"],
  );
  assert.equal(third.metadata.resourceVersion, first.metadata.resourceVersion);
  assert.equal(third.metadata.continue, undefined);
  await server.stop();
});

test("a page of a compacted revision is 410 with a token that goes on in the newest state", async () => {
  const { server, client } = await seeded(["a", "b", "c"]);
  const first = await get(client, { limit: "1" });
  await client.create(configMaps, { metadata: { name: "bb" } });
  await server.store.compact(server.store.currentRevision());

  const error = await get(client, { limit: "1", continue: first.metadata.continue ?? "" }).catch(
    (thrown: StatusError) => thrown,
  );
  assert.ok("continueToken" in error);
  const rest = await get(client, { continue: error.continueToken ?? "" });

  assert.equal(error.code, 410);
  assert.equal(error.reason, "Expired");
  assert.deepEqual(
    rest.items.map((item) => item.metadata?.name),
    ["b", "bb", "c"],
  );
  await server.stop();
});

test("versions that are impossible are refused with upstream's reasons", async () => {
  const { server, client } = await seeded(["a"]);

  await assert.rejects(get(client, { resourceVersion: "x" }), { code: 400 });
  await assert.rejects(get(client, { resourceVersionMatch: "Exact" }), {
    code: 422,
    message:
      'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided',
  });
  await assert.rejects(get(client, { continue: "???" }), { code: 400 });
  await assert.rejects(get(client, { fieldSelector: "spec.nope=1" }), { code: 400, reason: "BadRequest" });
  await assert.rejects(get(client, { labelSelector: "a==b==c" }), { code: 400 });
  await server.stop();
});

test("an old resourceVersion in an update is a conflict, none is not", async () => {
  const { server, client } = await seeded(["a"]);
  const ref = { ...configMaps, name: "a" };
  const old = await client.get(ref);
  const changed = await client.patch(ref, { type: "merge", body: { data: { x: "1" } } });

  await assert.rejects(client.update(ref, { ...old }), {
    code: 409,
    message:
      'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
  });
  const same = await client.update(ref, changed);
  const { resourceVersion: _, ...metadata } = old.metadata ?? {};
  await client.update(ref, { ...old, metadata });

  assert.equal(same.metadata?.resourceVersion, changed.metadata?.resourceVersion);
  await server.stop();
});

test("an object with finalizers stays until they are gone", async () => {
  const { server, client } = await seeded([]);
  const ref = { ...configMaps, name: "f" };
  await client.create(configMaps, { metadata: { name: "f", finalizers: ["example.com/x"] } });

  const going = await client.delete(ref);
  await assert.rejects(client.patch(ref, { type: "merge", body: { metadata: { finalizers: ["example.com/y"] } } }), {
    code: 422,
  });
  await client.patch(ref, { type: "merge", body: { metadata: { finalizers: null } } });

  assert.ok(going.metadata?.deletionTimestamp);
  await assert.rejects(client.get(ref), { code: 404 });
  await server.stop();
});

test("a dry run stores nothing, generated names end in five characters, a wrong precondition refuses", async () => {
  const { server, client } = await seeded([]);

  const dry = await client.create(configMaps, { metadata: { name: "dry" } }, { dryRun: true });
  const made = await client.create<KubeObject>(configMaps, { metadata: { generateName: "gen-" } });

  assert.equal(dry.metadata?.name, "dry");
  await assert.rejects(client.get({ ...configMaps, name: "dry" }), { code: 404 });
  assert.match(made.metadata?.name ?? "", /^gen-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  const ref = { ...configMaps, name: made.metadata?.name ?? "" };
  await assert.rejects(client.delete(ref, { preconditions: { uid: "other" } }), { code: 409 });
  await server.stop();
});

test("deletecollection deletes what the selector takes", async () => {
  const { server, client } = await seeded(["a", "b", "c"]);

  await client.deleteCollection(configMaps, { labelSelector: "n in (a,b)" });

  assert.deepEqual(
    (await client.list(configMaps)).items.map((item) => item.metadata?.name),
    ["c"],
  );
  await server.stop();
});

test("a watch that wants the initial state gets it, then the annotated bookmark", async () => {
  const { server, client } = await seeded(["a", "b"]);
  const stop = new AbortController();

  const options = { sendInitialEvents: true, allowWatchBookmarks: true, resourceVersionMatch: "NotOlderThan" } as const;
  const seen: string[] = [];
  for await (const { type, object } of await client.watch(configMaps, { ...options, signal: stop.signal })) {
    seen.push(`${type} ${object.metadata?.name ?? object.metadata?.annotations?.["k8s.io/initial-events-end"]}`);
    if (type === "BOOKMARK") break;
  }
  stop.abort();

  assert.deepEqual(seen, ["ADDED a", "ADDED b", "BOOKMARK true"]);
  await server.stop();
});

test("unknown fields warn, or refuse when asked to", async () => {
  const { server, client } = await seeded([]);
  const body = { metadata: { name: "u" }, nope: 1 };

  await assert.rejects(client.create(configMaps, body as KubeObject, { fieldValidation: "Strict" }), {
    code: 400,
    message: /unknown field "nope"/,
  });
  const made = await client.create(configMaps, body as KubeObject);
  assert.equal((made as { nope?: number }).nope, undefined);
  await server.stop();
});

test("hostile bodies are refused and harm nothing", async () => {
  const server = await startTestApiServer({ https: true });
  const url = `${server.url}${path}`;
  const pki = server.pki?.ca.certificate ?? "";

  const deep = await post(url, pki, `{"metadata":{"name":"x"},"data":${"[".repeat(5000)}${"]".repeat(5000)}}`);
  const broken = await post(url, pki, `{"metadata":`);
  const empty = await post(url, pki, "");
  const wrong = await post(url, pki, `{"metadata":{"name":5}}`);
  const array = await post(url, pki, "[]");
  const big = await post(url, pki, `{"metadata":{"name":"x"},"data":{"a":"${"x".repeat(4 << 20)}"}}`);
  const proto = await post(
    url,
    pki,
    `{"metadata":{"name":"p","labels":{"__proto__":"x"}},"__proto__":{"polluted":true}}`,
  );
  const other = await post(url, pki, "a", "text/plain");
  const fine = await post(url, pki, `{"metadata":{"name":"fine"}}`);

  assert.deepEqual(
    [deep, broken, empty, wrong, array, big, other, fine].map((answer) => answer.status),
    [400, 400, 400, 400, 400, 413, 415, 201],
  );
  assert.ok(proto.status < 500);
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  assert.equal(broken.body.kind, "Status");
  await server.stop();
});

type Answer = { readonly status: number; readonly body: { readonly kind?: string; readonly message?: string } };

// HTTP/1.1, so that this protocol is served too.
function post(url: string, ca: string, body: string, type = "application/json"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      url,
      { method: "POST", ca, headers: { "content-type": type }, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as Answer["body"] });
        });
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

test("a watch goes on through a server that was just started, from whatever the store still knows", async () => {
  const { server: first, client } = await seeded(["a", "b"]);
  const start = (await client.get({ ...configMaps, name: "a" })).metadata?.resourceVersion ?? "";
  await client.patch({ ...configMaps, name: "a" }, { type: "merge", body: { metadata: { labels: { n: "changed" } } } });
  await client.delete({ ...configMaps, name: "b" });
  const second = await startTestApiServer({ store: first.store });

  const from = async (labelSelector: string): Promise<readonly string[]> => {
    const stop = new AbortController();
    const options = { resourceVersion: start, labelSelector, signal: stop.signal };
    const events: string[] = [];
    for await (const { type, object } of await second.client.watch<KubeObject>(configMaps, options)) {
      events.push(`${type} ${object.metadata?.name} ${object.metadata?.labels?.["n"]}`);
      if (type === "DELETED" && object.metadata?.name === "b") break;
    }
    stop.abort();
    return events;
  };

  assert.deepEqual(await from(""), ["ADDED b b", "MODIFIED a changed", "DELETED b b"]);
  assert.deepEqual(await from("n!=changed"), ["ADDED b b", "DELETED a a", "DELETED b b"]);
  await first.store.compact(first.store.currentRevision());
  const third = await startTestApiServer({ store: first.store });
  await assert.rejects(third.client.watch(configMaps, { resourceVersion: start }), { code: 410, reason: "Expired" });
  for (const { server } of [third, second]) await server.stop();
  await first.stop();
});
