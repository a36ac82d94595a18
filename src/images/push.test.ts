import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { digestOf } from "./blobs.ts";
import { buildImage } from "./build/build-image.ts";
import { ImageStore } from "./image-store.ts";
import { hostPlatform, mediaTypes } from "./oci.ts";
import { ImagePuller } from "./pull.ts";
import { pushImage } from "./push.ts";

describe("pushing", () => {
  const never = new AbortController().signal;
  let folder: string;
  let store: ImageStore;
  let server: Server;
  let host: string;
  /** By path, what was put there. */
  let content: Map<string, Buffer>;
  let requests: string[];
  /** Answers instead of the registry where it gives true. */
  let before: (request: IncomingMessage, response: ServerResponse) => boolean;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "nl-push-"));
    store = new ImageStore({ folder: join(folder, "store"), clock: systemClock });
    await store.open();
    content = new Map();
    requests = [];
    before = () => false;
    server = createServer((request, response) => void answer(request, response)).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });

  /** The least that a registry is. */
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://registry");
    requests.push(`${request.method} ${pathname}`);
    if (before(request, response)) return;
    if (request.method === "POST") return void response.writeHead(202, { location: `${pathname}one?state=x` }).end();
    if (request.method === "PUT") {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const digest = searchParams.get("digest");
      const at = digest === null ? pathname : pathname.replace("uploads/one", digest);
      content.set(at, Buffer.concat(chunks));
      return void response.writeHead(201).end();
    }
    const found = content.get(pathname);
    response.writeHead(found ? 200 : 404).end(request.method === "HEAD" ? undefined : found);
  }

  const build = (text: string) =>
    buildImage(
      { store },
      { layers: [{ files: [{ path: "file", content: text }] }, { files: [{ path: "same", content: "same" }] }] },
    );

  it("sends blobs and then the manifest, and it comes back as it was", async () => {
    const built = await build("one");

    const pushed = await pushImage({ blobs: store.blobs, digest: built.digest, name: `${host}/shop/api:v2` }, never);

    assert.deepEqual(pushed, {
      digest: built.digest,
      name: `${host}/shop/api:v2`,
      pinned: `${host}/shop/api@${built.digest}`,
    });
    assert.match(requests.at(-1) ?? "", /^PUT \/v2\/shop\/api\/manifests\/v2$/);
    const other = new ImageStore({ folder: join(folder, "other"), clock: systemClock });
    await other.open();
    const pulled = await new ImagePuller({ store: other, settings: {} }).pull(pushed.name, [], never);
    assert.equal(pulled.manifestDigest, built.digest);
  });

  it("does not send what is there", async () => {
    const push = async (text: string) =>
      pushImage({ blobs: store.blobs, digest: (await build(text)).digest, name: `${host}/a` }, never);
    await push("one");
    requests.length = 0;

    await push("two");

    assert.equal(
      requests.filter((line) => line.startsWith("POST")).length,
      2,
      "the configuration and one of two layers",
    );
  });

  it("shows who it is where it is asked, also for a token that may push", async () => {
    const scopes: (string | null)[] = [];
    before = (request, response) => {
      const url = new URL(request.url ?? "", "http://registry");
      if (url.pathname === "/token") {
        scopes.push(url.searchParams.get("scope"));
        const isRight = request.headers.authorization === `Basic ${Buffer.from("me:secret").toString("base64")}`;
        response.writeHead(isRight ? 200 : 401).end(JSON.stringify({ token: "t" }));
        return true;
      }
      if (request.headers.authorization === "Bearer t") return false;
      response.writeHead(401, { "www-authenticate": `Bearer realm="http://${host}/token",service="s"` }).end();
      return true;
    };
    const { digest } = await build("one");
    const push = (...passwords: string[]) => {
      const credentials = passwords.map((password) => ({ registry: host, username: "me", password }));
      return pushImage({ blobs: store.blobs, digest, name: `${host}/a`, credentials }, never);
    };

    await push("wrong", "secret");

    assert.ok(scopes.every((scope) => scope === "repository:a:pull,push"));
    await assert.rejects(push("wrong"), { kind: "RegistryError", reason: "unauthorized" });
  });

  it("tries again what broke, and gives up what is refused", async () => {
    const { digest } = await build("one");
    let broken = 2;
    before = (request) => {
      if (request.method !== "PUT" || broken-- <= 0) return false;
      request.destroy();
      return true;
    };

    await pushImage({ blobs: store.blobs, digest, name: `${host}/a` }, never);

    before = (request, response) => {
      if (request.method === "PUT")
        response.writeHead(400).end(JSON.stringify({ errors: [{ code: "MANIFEST_INVALID" }] }));
      return request.method === "PUT";
    };
    await assert.rejects(pushImage({ blobs: store.blobs, digest, name: `${host}/a` }, never), {
      reason: "protocol",
      message: /unexpected status from PUT request to .*\/manifests\/latest: 400 Bad Request: MANIFEST_INVALID/,
    });
  });

  it("takes an index with all its images", async () => {
    const inner = await build("one");
    const manifests = [{ mediaType: mediaTypes.manifest, digest: inner.digest, size: 1, platform: hostPlatform() }];
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }));
    await store.blobs.writeBytes(digestOf(bytes), bytes);

    await pushImage({ blobs: store.blobs, digest: digestOf(bytes), name: `${host}/a:all` }, never);

    assert.ok(content.has(`/v2/a/manifests/${inner.digest}`));
    assert.deepEqual(content.get("/v2/a/manifests/all"), bytes);
  });
});
