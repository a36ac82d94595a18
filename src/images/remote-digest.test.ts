import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { digestOf } from "./blobs.ts";
import { remoteDigest } from "./remote-digest.ts";

const digest = `sha256:${"a".repeat(64)}`;

/** A registry that answers so; gives its host. */
async function registry(t: TestContext, answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const never = new AbortController().signal;

test("a tag's digest is asked for and nothing is fetched", async (t) => {
  const asked: string[] = [];
  const host = await registry(t, (request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.setHeader("docker-content-digest", digest).end();
  });

  assert.equal(await remoteDigest(`${host}/team/web:v1`, [], { settings: {}, signal: never }), digest);
  assert.deepEqual(asked, ["HEAD /v2/team/web/manifests/v1"]);
});

test("a registry that says no digest has its manifest counted", async (t) => {
  const host = await registry(t, (_request, response) => response.end("{}"));

  const counted = await remoteDigest(`${host}/web`, [], { settings: {}, signal: never });
  assert.equal(counted, digestOf(Buffer.from("{}")));
});

test("who asks is proved with the credentials that fit", async (t) => {
  const host = await registry(t, (request, response) => {
    const isKnown = request.headers.authorization === `Basic ${Buffer.from("me:secret").toString("base64")}`;
    if (isKnown) response.setHeader("docker-content-digest", digest).end();
    else response.writeHead(401, { "www-authenticate": "Basic realm=here" }).end();
  });
  const credentials = [{ registry: host, username: "me", password: "secret" }];

  assert.equal(await remoteDigest(`${host}/web`, credentials, { settings: {}, signal: never }), digest);
});

test("what cannot be had is said in the words of upstream's client", async (t) => {
  const host = await registry(t, (_request, response) => response.writeHead(404).end());

  const message = `HEAD http://${host}/v2/web/manifests/latest: unexpected status code 404 Not Found (HEAD responses have no body, use GET for details)`;
  await assert.rejects(remoteDigest(`${host}/web`, [], { settings: {}, signal: never }), {
    message,
    reason: "notFound",
  });
});

test("a registry that does not answer is waited for until the time is over", async (t) => {
  const over = new AbortController();
  const host = await registry(t, () => over.abort(new Error("the time is over")));

  const message = `Head "http://${host}/v2/web/manifests/latest": context deadline exceeded`;
  await assert.rejects(remoteDigest(`${host}/web`, [], { settings: {}, signal: over.signal }), { message });
});
