/** Lists in other forms than they are stored in. */
import assert from "node:assert/strict";
import { get } from "node:https";
import { test } from "node:test";
import { loadKindFacts } from "#api/kind-facts-table.ts";
import { ProtobufCodec } from "#apimachinery/codecs/protobuf-codec.ts";
import { readEnvelope } from "#apimachinery/codecs/protobuf-envelope.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";

function fetchBytes(url: string, ca: string, accept: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    get(url, { ca, headers: { accept }, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve(Buffer.concat(chunks)));
    }).on("error", reject);
  });
}

const configMaps = { group: "", version: "v1", resource: "configmaps" };

test("lists that are written side by side through the same memory are whole, in every form", async () => {
  const server = await startTestApiServer({ https: true });
  const names = Array.from({ length: 120 }, (_, index) => `c-${String(index).padStart(3, "0")}`);
  for (const name of names) {
    const metadata = { name, labels: { odd: "a-b_c.d" }, annotations: { braces: '}}{"\\"}', text: "ä".repeat(300) } };
    await server.client.create({ resource: configMaps, namespace: "default" }, {
      metadata,
      data: { text: "x".repeat(2000) },
    } as KubeObject);
  }
  const url = `${server.url}/api/v1/namespaces/default/configmaps`;
  const ca = server.pki?.ca.certificate ?? "";
  const partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
  const table = "application/json;as=Table;v=v1;g=meta.k8s.io";

  const read = async (path: string, accept: string) =>
    JSON.parse((await fetchBytes(url + path, ca, accept)).toString());
  const all = ["", "", ""]
    .map(() => [
      read("", "application/json"),
      read("", partial),
      read("", table),
      read("?includeObject=Object", table),
      read("?includeObject=None", table),
    ])
    .flat();
  const answers = await Promise.all(all);

  const wanted = (await server.client.list<KubeObject>({ resource: configMaps, namespace: "default" })).items;
  assert.equal(wanted.length, 120);
  const metadataOf = (metadata: unknown) => ({ kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata });
  for (const [index, answer] of answers.entries()) {
    const objects = (answer.items ?? answer.rows).map((item: KubeObject & { object?: KubeObject }) =>
      "cells" in item ? item.object : item,
    );
    const kinds = [
      wanted.map(({ kind: _kind, apiVersion: _apiVersion, ...rest }) => rest),
      wanted.map((item) => metadataOf(item.metadata)),
      wanted.map((item) => metadataOf(item.metadata)),
      wanted,
      wanted.map(() => undefined),
    ];
    assert.deepEqual(objects, kinds[index % 5]);
    if (answer.rows !== undefined)
      assert.deepEqual(
        answer.rows.map((row: { cells: unknown[] }) => row.cells.slice(0, 2)),
        names.map((name) => [name, 1]),
      );
  }
  await server.stop();
});

test("a protobuf list of a kind that is stored in another version is in the version that was asked for", async () => {
  const server = await startTestApiServer({ https: true });
  const events = { resource: { group: "", version: "v1", resource: "events" }, namespace: "default" };
  const about = {
    involvedObject: { kind: "Pod", name: "p", namespace: "default" },
    reason: "Because",
    message: "hello",
  };
  await server.client.create(events, { metadata: { name: "e" }, ...about } as KubeObject);

  const url = `${server.url}/apis/events.k8s.io/v1/namespaces/default/events`;
  const body = await fetchBytes(url, server.pki?.ca.certificate ?? "", "application/vnd.kubernetes.protobuf");
  const { apiVersion, kind, raw } = readEnvelope(body);
  const schema = loadKindFacts().schemaOf("events.k8s.io", "v1", "EventList");
  assert.ok(schema);
  const list = new ProtobufCodec().decode(schema, raw) as { items: { note?: string; regarding?: { name?: string } }[] };

  assert.deepEqual({ apiVersion, kind }, { apiVersion: "events.k8s.io/v1", kind: "EventList" });
  assert.equal(list.items[0]?.note, "hello");
  assert.equal(list.items[0]?.regarding?.name, "p");
  await server.stop();
});

test("protobuf of an object that was just changed has the revision of the change", async () => {
  const server = await startTestApiServer({ https: true });
  const ref = { resource: configMaps, namespace: "default" };
  await server.client.create(ref, { metadata: { name: "c" } } as KubeObject);
  const schema = loadKindFacts().schemaOf("", "v1", "ConfigMapList");
  assert.ok(schema);

  for (let i = 0; i < 3; i++) {
    const changed = await server.client.patch<KubeObject>(
      { ...ref, name: "c" },
      { type: "merge", body: { data: { i: `${i}` } } },
    );
    const url = `${server.url}/api/v1/namespaces/default/configmaps`;
    const body = await fetchBytes(url, server.pki?.ca.certificate ?? "", "application/vnd.kubernetes.protobuf");
    const list = new ProtobufCodec().decode(schema, readEnvelope(body).raw) as { items: KubeObject[] };
    assert.equal(list.items[0]?.metadata?.resourceVersion, changed.metadata?.resourceVersion);
  }
  await server.stop();
});
