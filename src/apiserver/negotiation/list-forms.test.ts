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
