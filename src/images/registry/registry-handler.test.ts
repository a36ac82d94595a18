/**
 * The cases of the distribution specification's own conformance suite (opencontainers/distribution-spec, conformance, v1.1), by their names there, and what a registry of strangers must stand.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from "node:fs";
import { createServer, request as httpRequest, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { digestOf } from "#images/blobs.ts";
import { buildImage } from "#images/build/build-image.ts";
import { ImageStore } from "#images/image-store.ts";
import { hostPlatform, mediaTypes } from "#images/oci.ts";
import { ImagePuller } from "#images/pull.ts";
import { pushImage } from "#images/push.ts";
import { EmbeddedRegistry } from "./embedded-registry.ts";
import { announceHosts } from "./hosts.ts";
import { RegistryFault } from "./registry-fault.ts";
import { type RegistryGuard, RegistryHandler } from "./registry-handler.ts";

type Answer = { readonly status: number; readonly headers: Headers; readonly body: Buffer };

describe("the embedded registry", () => {
  const name = "conformance/images";
  const never = new AbortController().signal;
  let folder: string;
  let store: ImageStore;
  let registry: EmbeddedRegistry;
  let server: Server;
  let base: string;
  let isWriter = true;
  let checked: string[] = [];

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "nl-registry-"));
    store = new ImageStore({ folder: join(folder, "images"), clock: systemClock });
    await store.open();
    registry = new EmbeddedRegistry({ store, limits: { mostUploads: 4, largestBlob: 4 << 20, staleMs: 3_600_000 } });
    const guard: RegistryGuard = {
      async check(_request, action, repository) {
        checked.push(`${action} ${repository}`);
        if (!isWriter && action !== "pull") throw new RegistryFault("DENIED", "no");
      },
    };
    const handler = new RegistryHandler({ registry, clock: systemClock, logger: silentLogger, guard });
    server = createServer((request, response) => void handler.handle(request, response)).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });

  async function ask(
    method: string,
    path: string,
    options: { readonly body?: Buffer | string; readonly headers?: Record<string, string> } = {},
  ): Promise<Answer> {
    const { body, headers = {} } = options;
    const init = { method, headers, ...(body === undefined ? {} : { body: new Uint8Array(Buffer.from(body)) }) };
    const response = await fetch(new URL(path, base), init);
    return { status: response.status, headers: response.headers, body: Buffer.from(await response.arrayBuffer()) };
  }

  const code = ({ body }: Answer): string =>
    (JSON.parse(body.toString()) as { errors: { code: string }[] }).errors[0]?.code ?? "";
  const json = <T>({ body }: Answer): T => JSON.parse(body.toString()) as T;

  async function pushBlob(bytes: Buffer, repository = name): Promise<string> {
    const digest = digestOf(bytes);
    const { status } = await ask("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: bytes });
    assert.equal(status, 201);
    return digest;
  }

  async function begin(repository = name): Promise<string> {
    const { headers, status } = await ask("POST", `/v2/${repository}/blobs/uploads/`);
    assert.equal(status, 202);
    return headers.get("location") ?? "";
  }

  function manifestOf(more: object = {}): Buffer {
    return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.manifest, ...more }));
  }

  const descriptor = (bytes: Buffer, mediaType: string) => ({ mediaType, digest: digestOf(bytes), size: bytes.length });

  async function pushManifest(reference: string, bytes: Buffer, repository = name): Promise<Answer> {
    const { mediaType } = JSON.parse(bytes.toString()) as { mediaType: string };
    return ask("PUT", `/v2/${repository}/manifests/${reference}`, {
      body: bytes,
      headers: { "content-type": mediaType },
    });
  }

  /** An image of one random layer. */
  async function pushRandom(reference: string, more: object = {}, repository = name): Promise<Buffer> {
    const layer = randomBytes(64);
    const config = Buffer.from(JSON.stringify({ random: randomBytes(8).toString("hex") }));
    await pushBlob(layer, repository);
    await pushBlob(config, repository);
    const manifest = manifestOf({
      config: descriptor(config, mediaTypes.config),
      layers: [descriptor(layer, mediaTypes.layer)],
      ...more,
    });
    assert.equal(
      (await pushManifest(reference === "" ? digestOf(manifest) : reference, manifest, repository)).status,
      201,
    );
    return manifest;
  }

  describe("pull", () => {
    it("GET of the base path says that the registry is one", async () => {
      const { status, headers } = await ask("GET", "/v2/");

      assert.equal(status, 200);
      assert.equal(headers.get("docker-distribution-api-version"), "registry/2.0");
    });

    it("HEAD and GET request to nonexistent blob should result in 404 response", async () => {
      const path = `/v2/${name}/blobs/${digestOf(Buffer.from("nothing"))}`;

      assert.equal((await ask("HEAD", path)).status, 404);
      const answer = await ask("GET", path);
      assert.equal(answer.status, 404);
      assert.equal(code(answer), "BLOB_UNKNOWN");
    });

    it("HEAD and GET request to existing blob should yield 200", async () => {
      const bytes = randomBytes(1000);
      const digest = await pushBlob(bytes);

      const head = await ask("HEAD", `/v2/${name}/blobs/${digest}`);
      const get = await ask("GET", `/v2/${name}/blobs/${digest}`);

      assert.deepEqual([head.status, get.status], [200, 200]);
      assert.deepEqual(
        [head.headers.get("content-length"), head.headers.get("docker-content-digest")],
        ["1000", digest],
      );
      assert.deepEqual(get.body, bytes);
    });

    it("gives parts of blobs", async () => {
      const path = `/v2/${name}/blobs/${await pushBlob(Buffer.from("0123456789"))}`;
      const part = async (range: string) => {
        const { status, body, headers } = await ask("GET", path, { headers: { range } });
        return [status, body.toString().slice(0, 10), headers.get("content-range")];
      };

      assert.deepEqual(await part("bytes=2-4"), [206, "234", "bytes 2-4/10"]);
      assert.deepEqual(await part("bytes=7-"), [206, "789", "bytes 7-9/10"]);
      assert.deepEqual(await part("bytes=-3"), [206, "789", "bytes 7-9/10"]);
      assert.deepEqual(await part("bytes=8-99"), [206, "89", "bytes 8-9/10"]);
      assert.deepEqual(await part("bytes=1-2,4-5"), [200, "0123456789", null]);
      assert.equal((await ask("GET", path, { headers: { range: "bytes=10-" } })).status, 416);
    });

    it("HEAD and GET request to nonexistent manifest should return 404", async () => {
      assert.equal((await ask("HEAD", `/v2/${name}/manifests/.INVALID_MANIFEST_NAME`)).status, 404);
      assert.equal((await ask("HEAD", `/v2/${name}/manifests/absent`)).status, 404);
      assert.equal(code(await ask("GET", `/v2/${name}/manifests/absent`)), "MANIFEST_UNKNOWN");
    });

    it("HEAD and GET request to manifest path (digest) and (tag) should yield 200 response", async () => {
      const manifest = await pushRandom("pulled");

      for (const reference of ["pulled", digestOf(manifest)]) {
        const head = await ask("HEAD", `/v2/${name}/manifests/${reference}`);
        const get = await ask("GET", `/v2/${name}/manifests/${reference}`);

        assert.deepEqual([head.status, get.status], [200, 200]);
        assert.deepEqual(get.body, manifest);
        assert.equal(head.headers.get("docker-content-digest"), digestOf(manifest));
        assert.equal(get.headers.get("content-type"), mediaTypes.manifest);
      }
    });

    it("400 response body should contain OCI-conforming JSON message", async () => {
      const answer = await ask("PUT", `/v2/${name}/manifests/sha256:totallywrong`, { body: "blablabla" });

      assert.equal(answer.status, 400);
      assert.equal(code(answer), "DIGEST_INVALID");
    });
  });

  describe("push", () => {
    it("PATCH request with blob in body should yield 202 response, PUT request to session URL with digest should yield 201 response", async () => {
      const bytes = randomBytes(100_000);
      const session = await begin();

      const patched = await ask("PATCH", session, { body: bytes });
      const put = await ask("PUT", `${patched.headers.get("location")}?digest=${digestOf(bytes)}`);

      assert.equal(patched.status, 202);
      assert.equal(put.status, 201);
      assert.deepEqual((await ask("GET", put.headers.get("location") ?? "")).body, bytes);
    });

    it("POST request with digest and blob should yield a 201 or 202", async () => {
      const bytes = randomBytes(500);

      const { status, headers } = await ask("POST", `/v2/${name}/blobs/uploads/?digest=${digestOf(bytes)}`, {
        body: bytes,
      });

      assert.equal(status, 201);
      assert.equal(headers.get("docker-content-digest"), digestOf(bytes));
    });

    it("GET nonexistent blob should result in 404, and stays so for a blob with a wrong digest", async () => {
      const digest = digestOf(Buffer.from("right"));
      const session = await begin();

      const wrong = await ask("PUT", `${session}?digest=${digest}`, { body: "wrong" });
      const posted = await ask("POST", `/v2/${name}/blobs/uploads/?digest=${digest}`, { body: "wrong" });

      assert.deepEqual([wrong.status, code(wrong), posted.status], [400, "DIGEST_INVALID", 400]);
      assert.equal((await ask("GET", `/v2/${name}/blobs/${digest}`)).status, 404);
      assert.equal((await ask("GET", session)).status, 404, "the upload is over");
    });

    it("PUT request with config and layer blobs should return 201, also of a blob of nothing", async () => {
      const session = await begin();
      const empty = Buffer.alloc(0);

      assert.equal((await ask("PUT", `${session}?digest=${digestOf(empty)}`, { body: empty })).status, 201);
      assert.equal((await ask("GET", `/v2/${name}/blobs/${digestOf(empty)}`)).body.length, 0);
    });

    it("Out-of-order blob upload should return 416; chunks in order return 202, and the final PUT 201", async () => {
      const [one, two] = [Buffer.from("first-"), Buffer.from("second")];
      const session = await begin();
      const piece = (bytes: Buffer, start: number) =>
        ask("PATCH", session, { body: bytes, headers: { "content-range": `${start}-${start + bytes.length - 1}` } });

      const early = await piece(two, one.length);
      const first = await piece(one, 0);
      const again = await piece(one, 0);
      const status = await ask("GET", session);
      const second = await piece(two, one.length);
      const last = await ask("PUT", `${session}?digest=${digestOf(Buffer.concat([one, two]))}`);

      assert.deepEqual(
        [early.status, first.status, again.status, status.status, second.status, last.status],
        [416, 202, 416, 204, 202, 201],
      );
      assert.equal(first.headers.get("range"), "0-5");
      assert.equal(again.headers.get("location"), session);
      assert.equal(again.headers.get("range"), "0-5");
      assert.equal(second.headers.get("range"), "0-11");
    });

    it("PUT request with final chunk should return 201", async () => {
      const [one, two] = [Buffer.from("first-"), Buffer.from("last")];
      const session = await begin();

      await ask("PATCH", session, { body: one, headers: { "content-range": "0-5" } });
      const put = await ask("PUT", `${session}?digest=${digestOf(Buffer.concat([one, two]))}`, {
        body: two,
        headers: { "content-range": "6-9" },
      });

      assert.equal(put.status, 201);
    });

    it("refuses a piece that is shorter than its range, and ranges that are none", async () => {
      const session = await begin();

      const short = await ask("PATCH", session, { body: "abc", headers: { "content-range": "0-9" } });
      const odd = await ask("PATCH", session, { body: "abc", headers: { "content-range": "all" } });

      assert.deepEqual(
        [short.status, code(short), odd.status, code(odd)],
        [400, "SIZE_INVALID", 400, "BLOB_UPLOAD_INVALID"],
      );
    });

    it("DELETE of an upload ends it", async () => {
      const session = await begin();

      assert.equal((await ask("DELETE", session)).status, 204);

      const gone = await ask("PATCH", session, { body: "x" });
      assert.deepEqual([gone.status, code(gone)], [404, "BLOB_UPLOAD_UNKNOWN"]);
    });

    it("goes on with an upload that another process began", async () => {
      const bytes = randomBytes(5000);
      const session = await begin();
      await ask("PATCH", session, { body: bytes.subarray(0, 3000) });
      const other = new EmbeddedRegistry({ store });
      const id = session.split("/").at(-1) ?? "";
      const repository = other.repository(name);
      const rest = async function* () {
        yield bytes.subarray(3000);
      };

      assert.equal(await other.uploads.received(repository, id), 3000);
      await other.uploads.append(repository, id, rest());
      await other.uploads.commit(repository, id, digestOf(bytes), (file) =>
        other.keepBlob(repository, digestOf(bytes), file),
      );

      assert.deepEqual((await ask("GET", `/v2/${name}/blobs/${digestOf(bytes)}`)).body, bytes);
    });

    it("keeps what came before the connection broke", async () => {
      const session = await begin();
      const broken = httpRequest(new URL(session, base), { method: "PATCH", headers: { "content-length": 1000 } });
      broken.on("error", () => {});
      broken.write(Buffer.alloc(400));
      let range = "";
      for (let tries = 0; tries < 200 && range !== "0-399"; tries++) {
        await new Promise((wake) => setTimeout(wake, 5));
        range = (await ask("GET", session)).headers.get("range") ?? "";
      }
      broken.destroy();

      let status = 0;
      for (let tries = 0; tries < 200 && status !== 202; tries++)
        status = (await ask("PATCH", session, { body: Buffer.alloc(600), headers: { "content-range": "400-999" } }))
          .status;

      assert.equal(status, 202);
      assert.equal((await ask("PUT", `${session}?digest=${digestOf(Buffer.alloc(1000))}`)).status, 201);
    });

    it("Cross-Repository Blob Mount", async () => {
      const bytes = randomBytes(300);
      const digest = await pushBlob(bytes, "conformance/from");
      const mount = (from: string, what: string) =>
        ask("POST", `/v2/conformance/to/blobs/uploads/?mount=${what}&from=${from}`);

      const mounted = await mount("conformance/from", digest);
      const absent = await mount("conformance/from", digestOf(Buffer.from("absent")));
      const fromNowhere = await ask("POST", `/v2/conformance/to/blobs/uploads/?mount=${digest}`);

      assert.deepEqual([mounted.status, absent.status, fromNowhere.status], [201, 202, 202]);
      assert.equal(mounted.headers.get("location"), `/v2/conformance/to/blobs/${digest}`);
      assert.deepEqual((await ask("GET", mounted.headers.get("location") ?? "")).body, bytes);
      assert.match(absent.headers.get("location") ?? "", /\/blobs\/uploads\/.+/);
    });

    it("Registry should accept a manifest upload with no layers", async () => {
      const config = Buffer.from("{}");
      await pushBlob(config);

      const { status, headers } = await pushManifest(
        "emptylayer",
        manifestOf({ config: descriptor(config, mediaTypes.config), layers: [] }),
      );

      assert.equal(status, 201);
      assert.match(headers.get("location") ?? "", /^\/v2\/conformance\/images\/manifests\/sha256:/);
    });

    it("a manifest whose parts are not there, is no manifest, or is sent as something else, is refused", async () => {
      const absent = Buffer.from("absent part");
      const config = Buffer.from("{}");
      await pushBlob(config);
      const put = async (bytes: Buffer | string, type: string = mediaTypes.manifest) => {
        const answer = await ask("PUT", `/v2/${name}/manifests/refused`, {
          body: bytes,
          headers: { "content-type": type },
        });
        return [answer.status, code(answer)];
      };

      assert.deepEqual(await put(manifestOf({ config: descriptor(absent, mediaTypes.config), layers: [] })), [
        404,
        "MANIFEST_BLOB_UNKNOWN",
      ]);
      assert.deepEqual(await put("no json"), [400, "MANIFEST_INVALID"]);
      assert.deepEqual(await put("[]"), [400, "MANIFEST_INVALID"]);
      assert.deepEqual(await put(manifestOf({ layers: [] })), [400, "MANIFEST_INVALID"]);
      assert.deepEqual(await put(JSON.stringify({ schemaVersion: 1, config: descriptor(config, ""), layers: [] })), [
        400,
        "MANIFEST_INVALID",
      ]);
      assert.deepEqual(
        await put(manifestOf({ config: descriptor(config, mediaTypes.config), layers: [] }), mediaTypes.index),
        [400, "MANIFEST_INVALID"],
      );
      assert.equal((await ask("GET", `/v2/${name}/manifests/refused`)).status, 404);
    });

    it("takes digests of SHA-512", async () => {
      const bytes = randomBytes(100);
      const digest = digestOf(bytes, "sha512");
      const begun = await ask("POST", `/v2/${name}/blobs/uploads/?digest-algorithm=sha512`);

      const put = await ask("PUT", `${begun.headers.get("location")}?digest=${digest}`, { body: bytes });
      const config = { mediaType: mediaTypes.config, digest, size: bytes.length };
      const manifest = manifestOf({ config, layers: [] });
      const pushed = await pushManifest(digestOf(manifest, "sha512"), manifest);

      assert.deepEqual([put.status, pushed.status], [201, 201]);
      assert.deepEqual((await ask("GET", `/v2/${name}/manifests/${digestOf(manifest, "sha512")}`)).body, manifest);
    });

    it("takes an index whose images are there, and refuses others", async () => {
      const image = await pushRandom("part");
      const index = (digest: string) =>
        Buffer.from(
          JSON.stringify({
            schemaVersion: 2,
            mediaType: mediaTypes.index,
            manifests: [{ mediaType: mediaTypes.manifest, digest, size: image.length }],
          }),
        );

      assert.equal((await pushManifest("all", index(digestOf(image)))).status, 201);
      assert.equal((await pushManifest("none", index(digestOf(Buffer.from("x"))))).status, 404);
      assert.equal((await ask("HEAD", `/v2/${name}/manifests/all`)).headers.get("content-type"), mediaTypes.index);
    });
  });

  describe("content discovery", () => {
    it("GET request to list tags should yield 200 response, number of tags limitable by n, page-able by last", async () => {
      const repository = "conformance/tags";
      for (const tag of ["b", "a", "test1", "Z", "c"]) await pushRandom(tag, {}, repository);
      const list = async (query: string) => {
        const answer = await ask("GET", `/v2/${repository}/tags/list${query}`);
        return { ...json<{ name: string; tags: string[] }>(answer), link: answer.headers.get("link") };
      };

      assert.deepEqual(await list(""), { name: repository, tags: ["Z", "a", "b", "c", "test1"], link: null });
      assert.deepEqual(await list("?n=2"), {
        name: repository,
        tags: ["Z", "a"],
        link: `</v2/${repository}/tags/list?n=2&last=a>; rel="next"`,
      });
      assert.deepEqual((await list("?n=2&last=a")).tags, ["b", "c"]);
      assert.deepEqual(await list("?n=5&last=c"), { name: repository, tags: ["test1"], link: null });
      assert.deepEqual((await list("?n=0")).tags, []);
      const unknown = await ask("GET", "/v2/conformance/absent/tags/list");
      assert.deepEqual([unknown.status, code(unknown)], [404, "NAME_UNKNOWN"]);
    });

    it("lists repositories", async () => {
      await pushRandom("v1", {}, "aaa/first");

      const { repositories } = json<{ repositories: string[] }>(await ask("GET", "/v2/_catalog?n=1"));

      assert.deepEqual(repositories, ["aaa/first"]);
    });

    it("GET request to nonexistent subject should yield 200 and an empty list", async () => {
      const answer = await ask("GET", `/v2/${name}/referrers/${digestOf(Buffer.from("nobody"))}`);

      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get("content-type"), mediaTypes.index);
      assert.deepEqual(json<{ manifests: unknown[] }>(answer).manifests, []);
    });

    it("GET request to existing digest should yield 200 with filter: OCI-Subject, artifactType, annotations", async () => {
      const repository = "conformance/referrers";
      const subject = await pushRandom("subject", {}, repository);
      const about = { subject: descriptor(subject, mediaTypes.manifest) };
      const empty = Buffer.from("{}");
      await pushBlob(empty, repository);
      const sbom = manifestOf({
        ...about,
        artifactType: "application/vnd.test.sbom",
        config: descriptor(empty, "application/vnd.oci.empty.v1+json"),
        layers: [],
        annotations: { "org.test": "yes" },
      });
      const signature = manifestOf({
        ...about,
        config: descriptor(empty, "application/vnd.test.signature"),
        layers: [],
      });

      const pushed = await pushManifest(digestOf(sbom), sbom, repository);
      await pushManifest("signature", signature, repository);
      const path = `/v2/${repository}/referrers/${digestOf(subject)}`;
      const all = json<{ manifests: { digest: string; artifactType: string }[] }>(await ask("GET", path));
      const filtered = await ask("GET", `${path}?artifactType=application/vnd.test.sbom`);

      assert.equal(pushed.headers.get("oci-subject"), digestOf(subject));
      assert.deepEqual(all.manifests.map(({ artifactType }) => artifactType).sort(), [
        "application/vnd.test.sbom",
        "application/vnd.test.signature",
      ]);
      assert.equal(filtered.headers.get("oci-filters-applied"), "artifactType");
      assert.deepEqual(json<{ manifests: unknown[] }>(filtered).manifests, [
        {
          mediaType: mediaTypes.manifest,
          digest: digestOf(sbom),
          size: sbom.length,
          artifactType: "application/vnd.test.sbom",
          annotations: { "org.test": "yes" },
        },
      ]);

      await ask("DELETE", `/v2/${repository}/manifests/${digestOf(sbom)}`);
      assert.equal(json<{ manifests: unknown[] }>(await ask("GET", path)).manifests.length, 1);
      assert.equal((await ask("GET", `/v2/${repository}/referrers/nonsense`)).status, 400);
    });
  });

  describe("content management", () => {
    it("DELETE request to manifest tag should return 202, and the digest stays", async () => {
      const manifest = await pushRandom("deleted-tag");

      assert.equal((await ask("DELETE", `/v2/${name}/manifests/deleted-tag`)).status, 202);

      assert.equal((await ask("GET", `/v2/${name}/manifests/deleted-tag`)).status, 404);
      assert.equal((await ask("GET", `/v2/${name}/manifests/${digestOf(manifest)}`)).status, 200);
      assert.equal((await ask("DELETE", `/v2/${name}/manifests/deleted-tag`)).status, 404);
    });

    it("DELETE request to manifest (digest) should yield 202, GET to it and its tags 404", async () => {
      const manifest = await pushRandom("deleted");

      assert.equal((await ask("DELETE", `/v2/${name}/manifests/${digestOf(manifest)}`)).status, 202);

      assert.equal((await ask("GET", `/v2/${name}/manifests/deleted`)).status, 404);
      assert.equal((await ask("GET", `/v2/${name}/manifests/${digestOf(manifest)}`)).status, 404);
      const { tags } = json<{ tags: string[] }>(await ask("GET", `/v2/${name}/tags/list`));
      assert.ok(!tags.includes("deleted"));
    });

    it("DELETE request to blob URL should yield 202, GET 404, in this repository alone", async () => {
      const bytes = randomBytes(100);
      const digest = await pushBlob(bytes);
      await pushBlob(bytes, "conformance/other");

      assert.equal((await ask("DELETE", `/v2/${name}/blobs/${digest}`)).status, 202);

      assert.equal((await ask("GET", `/v2/${name}/blobs/${digest}`)).status, 404);
      assert.equal((await ask("DELETE", `/v2/${name}/blobs/${digest}`)).status, 404);
      assert.equal((await ask("GET", `/v2/conformance/other/blobs/${digest}`)).status, 200);
    });
  });

  describe("in bad company", () => {
    it("names that lead elsewhere, unknown paths and methods are refused in the specification's form", async () => {
      const answerTo = async (method: string, path: string) => {
        const answer = await ask(method, path);
        return [answer.status, code(answer)];
      };

      assert.deepEqual(await answerTo("GET", "/v2/..%2f..%2fetc/manifests/x"), [400, "NAME_INVALID"]);
      assert.deepEqual(await answerTo("GET", "/v2/UPPER/tags/list"), [400, "NAME_INVALID"]);
      assert.deepEqual(await answerTo("GET", `/v2/${"a/".repeat(200)}a/tags/list`), [400, "NAME_INVALID"]);
      assert.deepEqual(await answerTo("GET", "/v2/_tags/x/tags/list"), [400, "NAME_INVALID"]);
      assert.deepEqual(await answerTo("GET", `/v2/${name}/blobs/sha256:..%2f..%2fx`), [404, "UNSUPPORTED"]);
      assert.deepEqual(await answerTo("GET", `/v2/${name}/blobs/md5:abc`), [400, "DIGEST_INVALID"]);
      assert.deepEqual(await answerTo("PATCH", `/v2/${name}/blobs/uploads/..`), [404, "UNSUPPORTED"]);
      assert.deepEqual(await answerTo("PATCH", `/v2/${name}/blobs/uploads/_x`), [404, "BLOB_UPLOAD_UNKNOWN"]);
      assert.deepEqual(await answerTo("GET", "/v2/%zz/tags/list"), [400, "NAME_INVALID"]);
      assert.deepEqual(await answerTo("DELETE", `/v2/${name}/manifests/-x`), [404, "MANIFEST_UNKNOWN"]);
      assert.deepEqual(await answerTo("PUT", `/v2/${name}/manifests/.x`), [400, "MANIFEST_INVALID"]);
      assert.deepEqual(await answerTo("GET", "/elsewhere"), [404, "UNSUPPORTED"]);
      assert.deepEqual(await answerTo("POST", "/v2/"), [405, "UNSUPPORTED"]);
    });

    it("web pages can neither push nor lead a name of theirs here", async () => {
      const status = (headers: Record<string, string>) =>
        new Promise<number>((resolve, reject) => {
          const request = httpRequest(new URL("/v2/", base), { headers }, (response) => {
            response.resume();
            resolve(response.statusCode ?? 0);
          });
          request.on("error", reject).end();
        });

      assert.equal(await status({ host: "evil.example:5000" }), 403);
      assert.equal(await status({ origin: "https://evil.example" }), 403);
      assert.equal(await status({ host: "localhost:5000" }), 200);
      assert.equal(await status({ host: "127.0.2.1:5000" }), 200);
    });

    it("who may not push may still pull", async () => {
      const bytes = Buffer.from("pushed by others");
      const path = `/v2/${name}/blobs/${await pushBlob(bytes)}`;
      isWriter = false;
      try {
        const post = await ask("POST", `/v2/${name}/blobs/uploads/?digest=${digestOf(bytes)}`, { body: bytes });

        assert.deepEqual([post.status, code(post)], [403, "DENIED"]);
        assert.equal((await ask("DELETE", path)).status, 403);
        assert.deepEqual((await ask("GET", path)).body, bytes);
      } finally {
        isWriter = true;
      }
    });

    it("every request is checked for what it does, mounting also for where the blob comes from", async () => {
      const digest = digestOf(Buffer.from("{}"));
      checked = [];

      for (const path of ["/v2/", "/v2/_catalog", `/v2/a/tags/list`, `/v2/a/blobs/${digest}`]) await ask("GET", path);
      await ask("POST", `/v2/a/blobs/uploads/?mount=${digest}&from=b`);
      await ask("PUT", `/v2/a/manifests/x`, { body: "{}" });
      await ask("GET", `/v2/a/blobs/uploads/x`);
      await ask("DELETE", `/v2/a/manifests/x`);

      const expected = ["connect ", "list ", "pull a", "pull a", "push a", "pull b", "push a", "push a", "delete a"];
      assert.deepEqual(checked, expected);
    });

    it("bodies that are too large end with 413, and their upload is over or can go on", async () => {
      const manifest = await ask("PUT", `/v2/${name}/manifests/huge`, { body: Buffer.alloc((4 << 20) + 1) });
      const blob = await ask("POST", `/v2/${name}/blobs/uploads/?digest=${digestOf(Buffer.alloc(5 << 20))}`, {
        body: Buffer.alloc(5 << 20),
      });

      assert.deepEqual([manifest.status, code(manifest)], [413, "MANIFEST_INVALID"]);
      assert.deepEqual([blob.status, code(blob)], [413, "SIZE_INVALID"]);
    });

    it("of too many uploads the one that was idle longest goes", async () => {
      const sessions: string[] = [];
      for (let count = 0; count < 5; count++) sessions.push(await begin("conformance/many"));

      assert.equal((await ask("GET", sessions[0] ?? "")).status, 404);
      assert.equal((await ask("GET", sessions[4] ?? "")).status, 204);
    });
  });

  describe("and the machine's images", () => {
    async function buildOne(text: string): Promise<string> {
      return (await buildImage({ store }, { layers: [{ files: [{ path: "file", content: text }] }] })).digest;
    }

    it("an image that was pushed over HTTP is found by a node of this machine without a pull", async () => {
      const host = new URL(base).host;
      const digest = await buildOne("pushed");
      const pushed = await pushImage({ blobs: store.blobs, digest, name: `${host}/shop/api:v1` }, never);
      await announceHosts(store.folder, "c1", { address: "127.0.0.1:5999", hosts: ["localhost:5999"], path: folder });
      const puller = new ImagePuller({ store, settings: {} });

      const byTag = await puller.pull("localhost:5999/shop/api:v1", [], never);
      const byDigest = await puller.pull(`localhost:5999/shop/api@${digest}`, [], never);

      assert.equal(pushed.digest, digest);
      assert.equal(byTag.manifestDigest, digest);
      assert.equal(byDigest.id, byTag.id);
      assert.deepEqual(byTag.tags, ["localhost:5999/shop/api:v1"]);
      assert.equal(readFileSync(join(store.layersFolder, byTag.layers[0] ?? "", "file"), "utf8"), "pushed");
    });

    it("what the registry lacks is asked of whoever has the port; nobody there means: not found", async () => {
      await announceHosts(store.folder, "c2", { address: "127.0.0.1:1", hosts: ["127.0.0.1:1"], path: folder });

      await assert.rejects(new ImagePuller({ store, settings: {} }).pull("127.0.0.1:1/shop/absent:v1", [], never), {
        reason: "notFound",
        message: /failed to resolve reference "127.0.0.1:1\/shop\/absent:v1": 127.0.0.1:1\/shop\/absent:v1: not found/,
      });
    });

    it("a deleted cluster's names mean nothing any more", async () => {
      await announceHosts(store.folder, "c3", {
        address: "127.0.0.1:1",
        hosts: ["127.0.0.1:2"],
        path: join(folder, "absent"),
      });

      await assert.rejects(new ImagePuller({ store, settings: {} }).pull("127.0.0.1:2/shop/api:v1", [], never), {
        reason: "unavailable",
      });
    });

    it("an image may leave the machine and the registry still has it, and the other way round", async () => {
      const digest = await buildOne("independent");
      await store.add(digest, { tag: "localhost:5999/one:v1" });
      await registry.publish({ repository: "one", tag: "v1" }, digest);
      const { config, layers } = JSON.parse((await store.blobs.read(digest)).toString()) as {
        config: { digest: string };
        layers: { digest: string }[];
      };

      await store.remove("localhost:5999/one:v1");
      const layer = await ask("GET", `/v2/one/blobs/${layers[0]?.digest}`);
      const back = await new ImagePuller({ store, settings: {} }).pull("localhost:5999/one:v1", [], never);
      await ask("DELETE", `/v2/one/manifests/${digest}`);
      await ask("DELETE", `/v2/one/blobs/${config.digest}`);

      assert.equal(layer.status, 200);
      assert.equal(back.manifestDigest, digest);
      assert.ok(await store.blobs.find(config.digest), "the machine's image still needs it");
      assert.equal((await registry.catalog()).includes("one"), false);
    });

    it("shares one file with the store for each blob", async () => {
      const digest = await buildOne("shared");
      await registry.publish({ repository: "shared", tag: "v1" }, digest);

      const here = statSync(store.blobs.path(digest));
      const there = statSync(registry.repository("shared").manifestPath(digest));

      assert.equal(here.ino, there.ino);
    });

    it("garbage goes after an hour: uploads, blobs of no manifest, empty repositories; nothing else", async () => {
      const repository = registry.repository("garbage/one");
      const manifest = await pushRandom("kept", {}, "garbage/kept");
      const digest = await pushBlob(Buffer.from("nobody's"), repository.name);
      const id = await registry.uploads.begin(repository);
      const old = (file: string) => utimesSync(file, 1000, 1000);

      await registry.collectGarbage();
      assert.ok(existsSync(repository.blobPath(digest)), "somebody may be about to push a manifest");

      old(repository.blobPath(digest));
      old(join(repository.uploads, id));
      const kept = registry.repository("garbage/kept");
      for (const blob of await kept.blobs()) old(kept.blobPath(blob));
      await new EmbeddedRegistry({ store }).collectGarbage();
      await store.collectGarbage();

      assert.equal(existsSync(repository.folder), false);
      assert.equal((await kept.blobs()).length, 2);
      assert.equal((await ask("GET", `/v2/garbage/kept/manifests/${digestOf(manifest)}`)).status, 200);
      assert.equal(await store.blobs.find(digest), undefined, "the store's own copy goes too");
      assert.deepEqual(readdirSync(store.temporaryFolder), []);
    });

    it("an index brings the image of this machine", async () => {
      const digest = await buildOne("platform");
      await registry.publish({ repository: "multi", tag: undefined }, digest);
      const manifests = [{ mediaType: mediaTypes.manifest, digest, size: 1, platform: hostPlatform() }];
      const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }));
      assert.equal((await pushManifest("v1", index, "multi")).status, 201);

      const image = await new ImagePuller({ store, settings: {} }).pull("localhost:5999/multi:v1", [], never);

      assert.equal(image.manifestDigest, digest);
      assert.deepEqual(image.digests, [`localhost:5999/multi@${digestOf(index)}`]);
    });
  });
});
