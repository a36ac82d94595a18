/** Watches over HTTP/2 whose clients read slowly, or not at all. */
import assert from "node:assert/strict";
import { type ClientHttp2Stream, connect } from "node:http2";
import { test } from "node:test";
import type { ResourceRef } from "#client/client.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";

const configMaps: ResourceRef = {
  resource: { group: "", version: "v1", resource: "configmaps" },
  namespace: "default",
};
const CHANGES = 150;

test("a client that reads nothing for a while gets everything in the end, in order", async () => {
  const server = await startTestApiServer({ https: true });
  const ca = server.pki?.ca.certificate;
  const session = connect(server.url, ca === undefined ? {} : { ca });
  const stream = session.request({ ":path": "/api/v1/namespaces/default/configmaps?watch=1" });
  stream.pause();
  await new Promise((resolve) => stream.once("response", resolve));
  const ref = { ...configMaps, name: "big" };
  await server.client.create(configMaps, { metadata: { name: "big" } });

  for (let i = 1; i < CHANGES; i++) {
    await server.client.patch(ref, { type: "merge", body: { data: { n: String(i), pad: "x".repeat(20_000) } } });
  }
  const numbers = await readNumbers(stream);

  assert.deepEqual(numbers, [0, ...Array.from({ length: CHANGES - 1 }, (_, i) => i + 1)]);
  session.destroy();
  await server.stop();
});

async function readNumbers(stream: ClientHttp2Stream): Promise<number[]> {
  const numbers: number[] = [];
  let text = "";
  for await (const chunk of stream) {
    const lines = (text + String(chunk)).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) {
      const { object } = JSON.parse(line) as { object: { metadata: { name: string }; data?: { n?: string } } };
      if (object.metadata.name === "big") numbers.push(Number(object.data?.n ?? 0));
    }
    if (numbers.length >= CHANGES) return numbers;
  }
  return numbers;
}
