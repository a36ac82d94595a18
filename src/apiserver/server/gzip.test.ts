/** Large answers are compressed for whom it suits. */
import assert from "node:assert/strict";
import { get, type RequestOptions } from "node:https";
import { connect } from "node:http2";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import type { KubeObject } from "#apimachinery/meta.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";

const configMaps = { resource: { group: "", version: "v1", resource: "configmaps" }, namespace: "default" };
const path = "/api/v1/namespaces/default/configmaps";

type Answer = { readonly encoding: string | undefined; readonly bytes: Buffer };

function fetchRaw(url: string, options: RequestOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    get(url, { ...options, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () =>
        resolve({ encoding: response.headers["content-encoding"], bytes: Buffer.concat(chunks) }),
      );
    }).on("error", reject);
  });
}

test("lists and objects above 128 KiB are compressed for clients that accept it, and for nobody else", async () => {
  const server = await startTestApiServer({ https: true });
  const ca = server.pki?.ca.certificate ?? "";
  for (let i = 0; i < 20; i++) {
    const data = { text: `${i} ${"lorem ipsum ".repeat(i === 0 ? 20_000 : 1000)}` };
    await server.client.create(configMaps, { metadata: { name: `c${i}` }, data } as KubeObject);
  }
  const ask = (tail: string, encoding: string) =>
    fetchRaw(server.url + path + tail, { ca, headers: { "accept-encoding": encoding } });

  for (const tail of ["", "/c0"]) {
    const [plain, packed, refused] = await Promise.all([ask(tail, ""), ask(tail, "deflate, gzip"), ask(tail, "br")]);
    assert.deepEqual([plain.encoding, packed.encoding, refused.encoding], [undefined, "gzip", undefined]);
    assert.ok(packed.bytes.length < plain.bytes.length / 10);
    assert.deepEqual(JSON.parse(gunzipSync(packed.bytes).toString()), JSON.parse(plain.bytes.toString()));
  }
  for (const tail of ["/c1", "?fieldSelector=metadata.name=c1"])
    assert.equal((await ask(tail, "gzip")).encoding, undefined);
  await server.stop();
});

test("a client that goes away in the middle of a compressed list leaves nothing behind", async () => {
  const server = await startTestApiServer({ https: true });
  const ca = server.pki?.ca.certificate ?? "";
  const noise = Array.from({ length: 10_000 }, (_, i) => Math.sin(i)).join("");
  const names = Array.from({ length: 20 }, (_, i) => `c${i}`);
  for (const name of names) {
    await server.client.create(configMaps, { metadata: { name }, data: { noise } } as KubeObject);
  }
  const session = connect(server.url, { ca });
  const stream = session.request({ ":path": path, "accept-encoding": "gzip" });
  await new Promise((resolve) => stream.once("data", resolve));
  stream.destroy();
  session.destroy();

  while (server.server.chain.flowControl.count > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const { bytes } = await fetchRaw(server.url + path, { ca, headers: { "accept-encoding": "gzip" } });
  assert.equal(JSON.parse(gunzipSync(bytes).toString()).items.length, 20);
  await server.stop();
});
