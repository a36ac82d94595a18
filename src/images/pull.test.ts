import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { pack } from "tar-stream";
import { issueServerCertificate } from "#component-base/certificates.ts";
import { systemClock } from "#component-base/clock.ts";
import { createCa } from "#component-base/x509.ts";
import { digestOf } from "./blobs.ts";
import { ImageStore } from "./image-store.ts";
import { hostPlatform, mediaTypes } from "./oci.ts";
import { ImagePuller } from "./pull.ts";

describe("pulling", () => {
  let folder: string;
  let server: Server;
  let host: string;
  let store: ImageStore;
  let puller: ImagePuller;
  /** By path: bytes, or what else to do. */
  let files: Map<string, Buffer | ((request: IncomingMessage, response: ServerResponse) => void)>;
  let requests: string[];
  const never = new AbortController().signal;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "nodeless-pull-"));
    files = new Map();
    requests = [];
    server = createServer(answer).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    store = new ImageStore({ folder: join(folder, "store"), clock: systemClock });
    await store.open();
    puller = new ImagePuller({ store, settings: {} });
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "";
    requests.push(path);
    const found = files.get(path.split("?")[0] ?? "");
    if (found === undefined)
      return void response
        .writeHead(404)
        .end(JSON.stringify({ errors: [{ code: "NAME_UNKNOWN", message: "unknown" }] }));
    if (typeof found === "function") return found(request, response);
    response.end(found);
  }

  /** Puts an image of one file per layer into the registry. Gives the manifest's digest. */
  async function publish(
    name: string,
    layers: readonly Buffer[],
    compress: (bytes: Buffer) => Buffer = (bytes) => bytes,
  ): Promise<string> {
    const put = (bytes: Buffer): { digest: string; size: number } => {
      files.set(`/v2/${name}/blobs/${digestOf(bytes)}`, bytes);
      return { digest: digestOf(bytes), size: bytes.length };
    };
    const config = put(
      Buffer.from(
        JSON.stringify({
          config: { User: "7" },
          rootfs: { type: "layers", diff_ids: layers.map((layer) => digestOf(layer)) },
        }),
      ),
    );
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.manifest,
        config: { mediaType: mediaTypes.config, ...config },
        layers: layers.map((layer) => ({ mediaType: mediaTypes.layer, ...put(compress(layer)) })),
      }),
    );
    const index = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        manifests: [
          {
            mediaType: mediaTypes.manifest,
            digest: `sha256:${"0".repeat(64)}`,
            size: 1,
            platform: { os: "linux", architecture: "vax" },
          },
          {
            mediaType: mediaTypes.manifest,
            digest: digestOf(manifest),
            size: manifest.length,
            platform: hostPlatform(),
          },
        ],
      }),
    );
    files.set(`/v2/${name}/manifests/${digestOf(manifest)}`, manifest);
    files.set(`/v2/${name}/manifests/${digestOf(index)}`, index);
    files.set(`/v2/${name}/manifests/latest`, index);
    return digestOf(index);
  }

  async function layer(content: string): Promise<Buffer> {
    const archive = pack();
    archive.entry({ name: "file", uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }, content);
    archive.finalize();
    const bytes: Buffer[] = [];
    for await (const chunk of archive as unknown as AsyncIterable<Buffer>) bytes.push(chunk);
    return Buffer.concat(bytes);
  }

  function fileOf(layerName: string | undefined): string {
    return readFileSync(join(store.layersFolder, layerName ?? "", "file"), "utf8");
  }

  function assertNoLeftOvers(): void {
    assert.deepEqual(readdirSync(store.temporaryFolder), []);
  }

  test("pulls the image of this platform out of an index, by tag and by digest", async () => {
    const digest = await publish("team/app", [await layer("one"), await layer("two")]);

    const image = await puller.pull(`${host}/team/app`, [], never);
    const again = await puller.pull(`${host}/team/app@${digest}`, [], never);

    assert.deepEqual(image.layers.map(fileOf), ["one", "two"]);
    assert.deepEqual(image.tags, [`${host}/team/app:latest`]);
    assert.deepEqual(image.digests, [`${host}/team/app@${digest}`]);
    assert.equal(again.id, image.id);
    assert.equal((await store.find(`${host}/team/app`))?.id, image.id);
    assert.equal(
      requests.filter((path) => path.includes("/blobs/")).length,
      3,
      "blobs that are here are not fetched again",
    );
    assertNoLeftOvers();
  });

  test("layers may be compressed with gzip and zstd", async () => {
    await publish("gz", [await layer("zipped")], gzipSync);
    await publish("zst", [await layer("packed")], zstdCompressSync);

    assert.equal(fileOf((await puller.pull(`${host}/gz`, [], never)).layers[0]), "zipped");
    assert.equal(fileOf((await puller.pull(`${host}/zst`, [], never)).layers[0]), "packed");
  });

  test("a blob with another content than its digest says is refused and nothing is left", async () => {
    await publish("bad", [await layer("good")]);
    for (const [path, bytes] of files) {
      if (path.includes("/blobs/") && Buffer.isBuffer(bytes) && bytes.length > 1000)
        files.set(path, Buffer.concat([bytes.subarray(1), Buffer.from("x")]));
    }

    await assert.rejects(
      puller.pull(`${host}/bad`, [], never),
      /failed commit on ref "layer-sha256:.*unexpected commit digest sha256:/,
    );
    assert.deepEqual(await store.list(), []);
    assertNoLeftOvers();
  });

  test("a layer that unpacks to something else than the configuration says is refused", async () => {
    await publish("liar", [await layer("a")], () => gzipSync(Buffer.alloc(1024)));

    await assert.rejects(puller.pull(`${host}/liar`, [], never), /unpacks to sha256/);
    assertNoLeftOvers();
  });

  test("a broken connection goes on where it broke", async () => {
    const content = await layer("x".repeat(300_000));
    await publish("broken", [content]);
    const path = `/v2/broken/blobs/${digestOf(content)}`;
    const ranges: (string | undefined)[] = [];
    files.set(path, (request, response) => {
      ranges.push(request.headers.range);
      const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      response.writeHead(start > 0 ? 206 : 200, { "content-length": content.length - start });
      if (start > 0) return void response.end(content.subarray(start));
      response.write(content.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 20));
    });

    const image = await puller.pull(`${host}/broken`, [], never);

    assert.equal(fileOf(image.layers[0]).length, 300_000);
    assert.match(ranges[1] ?? "", /bytes=\d{3,}-/);
  });

  test("tokens are fetched with the credentials of the best fitting secret", async () => {
    await publish("private", [await layer("secret")]);
    const open = new Map(files);
    for (const [path, bytes] of open) {
      files.set(path, (request, response) => {
        if (request.headers.authorization === "Bearer good") return void response.end(bytes);
        const challenge = `Bearer realm="http://${host}/token",service="reg",scope="repository:private:pull"`;
        response.writeHead(401, { "www-authenticate": challenge }).end();
      });
    }
    const seen: string[] = [];
    files.set("/token", (request, response) => {
      seen.push(`${request.url} ${request.headers.authorization}`);
      const isGood = request.headers.authorization === `Basic ${Buffer.from("me:pw").toString("base64")}`;
      response.writeHead(isGood ? 200 : 403).end(JSON.stringify({ token: "good" }));
    });
    const credentials = [
      { registry: "other.example.com", username: "no", password: "no" },
      { registry: host, username: "old", password: "old" },
      { registry: `${host}/private`, username: "me", password: "pw" },
    ];

    const refused = `failed to resolve reference "${host}/private:latest": pull access denied, repository does not exist or may require authorization: failed to authorize: failed to fetch oauth token: unexpected status from GET request to http://${host}/token?service=reg&scope=repository%3Aprivate%3Apull: 403 Forbidden`;
    await assert.rejects(puller.pull(`${host}/private`, [], never), { reason: "unauthorized", message: refused });
    const image = await puller.pull(`${host}/private`, credentials, never);

    assert.equal(fileOf(image.layers[0]), "secret");
    assert.deepEqual(
      seen.slice(1).every((line) => line.startsWith("/token?service=reg&scope=repository%3Aprivate%3Apull Basic")),
      true,
    );
  });

  test("credentials do not follow a redirect to another host", async () => {
    const content = await layer("elsewhere");
    await publish("moved", [content]);
    let leaked: string | undefined = "nothing asked";
    const other = createServer((request, response) => {
      leaked = request.headers.authorization;
      response.end(content);
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    const elsewhere = `http://127.0.0.1:${(other.address() as AddressInfo).port}/x`;
    files.set(`/v2/moved/blobs/${digestOf(content)}`, (request, response) => {
      if (request.headers.authorization === undefined)
        return void response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
      response.writeHead(307, { location: elsewhere }).end();
    });

    const image = await puller.pull(`${host}/moved`, [{ registry: host, username: "me", password: "pw" }], never);
    other.close();

    assert.equal(fileOf(image.layers[0]), "elsewhere");
    assert.equal(leaked, undefined);
  });

  test("two pulls of one image share the work; one may leave, and when the last one leaves nothing stays", async () => {
    const content = await layer("slow");
    await publish("slow", [content]);
    let release: (() => void) | undefined;
    files.set(`/v2/slow/blobs/${digestOf(content)}`, (_, response) => {
      response.write(content.subarray(0, 10));
      release = () => response.end(content.subarray(10));
    });
    const [first, second, third] = [new AbortController(), new AbortController(), new AbortController()];

    const a = puller.pull(`${host}/slow`, [], first.signal);
    const b = puller.pull(`${host}/slow`, [], second.signal);
    while (!release) await new Promise((resolve) => setTimeout(resolve, 5));
    first.abort(new Error("left"));
    await assert.rejects(a, /left/);
    release();
    assert.equal(fileOf((await b).layers[0]), "slow");
    assert.equal(requests.filter((path) => path.includes(digestOf(content))).length, 1);

    await store.remove(`${host}/slow`);
    release = undefined;
    const c = puller.pull(`${host}/slow`, [], third.signal);
    while (!release) await new Promise((resolve) => setTimeout(resolve, 5));
    third.abort(new Error("gone"));
    await assert.rejects(c, /gone/);
    assertNoLeftOvers();
  });

  test("an unknown image is not found, a registry that is not there is unavailable", async () => {
    await assert.rejects(puller.pull(`${host}/nothing`, [], never), {
      reason: "notFound",
      message: `failed to resolve reference "${host}/nothing:latest": ${host}/nothing:latest: not found`,
    });
    await assert.rejects(puller.pull("127.0.0.1:1/x", [], never), {
      reason: "unavailable",
      message:
        'failed to resolve reference "127.0.0.1:1/x:latest": failed to do request: Get "http://127.0.0.1:1/v2/x/manifests/latest": dial tcp 127.0.0.1:1: connect: connection refused',
    });
  });

  test("a registry that wants a name and gets none, or a wrong one, is told as a refusal", async () => {
    files.set("/v2/closed/manifests/latest", (_, response) => {
      const body = JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "authentication required" }] });
      response.writeHead(401, { "www-authenticate": 'Basic realm="reg"' }).end(body);
    });
    const denied = `failed to resolve reference "${host}/closed:latest": pull access denied, repository does not exist or may require authorization: `;

    await assert.rejects(puller.pull(`${host}/closed`, [], never), {
      reason: "unauthorized",
      message: `${denied}failed to authorize: no basic auth credentials`,
    });
    await assert.rejects(puller.pull(`${host}/closed`, [{ registry: host, username: "me", password: "no" }], never), {
      reason: "unauthorized",
      message: `${denied}unexpected status from GET request to http://${host}/v2/closed/manifests/latest: 401 Unauthorized: UNAUTHORIZED: authentication required`,
    });
  });

  test("an image for other platforms only is refused, with an index and without", async () => {
    const other = { os: "linux", architecture: "vax" };
    const config = Buffer.from(JSON.stringify({ ...other, rootfs: { type: "layers", diff_ids: [] } }));
    files.set(`/v2/vax/blobs/${digestOf(config)}`, config);
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        config: { mediaType: mediaTypes.config, digest: digestOf(config), size: config.length },
        layers: [],
      }),
    );
    const entry = {
      mediaType: mediaTypes.manifest,
      digest: digestOf(manifest),
      size: manifest.length,
      platform: other,
    };
    const index = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
    files.set("/v2/vax/manifests/single", manifest);
    files.set("/v2/vax/manifests/index", index);

    for (const [tag, bytes] of [
      ["single", manifest],
      ["index", index],
    ] as const) {
      await assert.rejects(puller.pull(`${host}/vax:${tag}`, [], never), {
        message: `no match for platform in manifest ${digestOf(bytes)}: not found`,
      });
    }
    assert.deepEqual(await store.list(), []);
  });

  test("a failing layer says what was asked and what came", async () => {
    await publish("halfway", [await layer("gone")]);
    for (const path of files.keys()) if (path.includes("/blobs/")) files.delete(path);

    await assert.rejects(
      puller.pull(`${host}/halfway`, [], never),
      /failed to copy: httpReadSeeker: failed open: unexpected status from GET request to .*: 404 Not Found: NAME_UNKNOWN/,
    );
  });

  test("mirrors are asked first and the registry itself when they fail", async () => {
    await publish("m", [await layer("mirrored")]);
    const mirrored = new ImagePuller({
      store,
      settings: { mirrors: { "reg.invalid": ["http://127.0.0.1:1", `http://${host}`] } },
    });

    const image = await mirrored.pull("reg.invalid/m", [], never);

    assert.deepEqual(image.tags, ["reg.invalid/m:latest"]);
  });

  test("an image stays while something needs it, and takes its layers with it when it goes", async () => {
    const shared = await layer("shared");
    await publish("one", [shared, await layer("a")]);
    await publish("two", [shared, await layer("b")]);
    const one = await puller.pull(`${host}/one`, [], never);
    const two = await puller.pull(`${host}/two`, [], never);
    const user = join(folder, "user");
    mkdirSync(user);
    writeFileSync(join(user, "x"), "");
    await store.hold(one.id, "container", user);

    assert.equal(await store.remove(`${host}/one`), false);
    rmSync(user, { recursive: true });
    assert.equal(await store.remove(`${host}/one`), true);

    assert.deepEqual(await store.list(), [two]);
    assert.deepEqual(readdirSync(store.layersFolder).sort(), [...two.layers].sort());
    assert.deepEqual((await store.blobs.list()).sort(), [...two.blobs].sort());
    assert.equal(await store.remove("nothing"), true);
  });

  test("an image whose users cannot be read is not taken for one that nobody needs", async () => {
    await publish("unread", [await layer("c")]);
    const { id } = await puller.pull(`${host}/unread`, [], never);
    await store.hold(id, "container", folder);
    const notes = join(store.folder, "uses", id.replace("sha256:", ""));
    const [note = ""] = readdirSync(notes);
    rmSync(join(notes, note));
    mkdirSync(join(notes, note));

    await assert.rejects(store.remove(`${host}/unread`), { code: "EISDIR" });

    assert.ok(await store.find(id));
    rmSync(join(notes, note), { recursive: true });
    assert.equal(await store.remove(`${host}/unread`), true);
  });

  test("an encrypted registry is trusted by the certificate in its folder, and not without it", async () => {
    await publish("tls", [await layer("sealed")]);
    const now = Date.now();
    const times = { notBeforeMs: now - 60_000, notAfterMs: now + 3_600_000 };
    const ca = createCa({ subject: { commonName: "test" }, usages: ["cert sign", "digital signature"], ...times });
    const leaf = issueServerCertificate(ca, {
      commonName: "registry",
      addresses: ["127.0.0.2"],
      clock: systemClock,
      validDays: 1,
    });
    const secure = createSecureServer({ key: leaf.privateKey, cert: leaf.certificate }, answer).listen(0, "127.0.0.2");
    await new Promise((resolve) => secure.once("listening", resolve));
    const address = `127.0.0.2:${(secure.address() as AddressInfo).port}`;
    const certificateFolders = [join(folder, "certs")];
    mkdirSync(join(folder, "certs", address), { recursive: true });
    // A mirror says its scheme, so this machine's own address may be encrypted too.
    const mirrors = { "reg.invalid": [`https://${address}`] };
    const pull = () =>
      new ImagePuller({ store, settings: { mirrors, certificateFolders } }).pull(
        "reg.invalid/tls",
        [],
        AbortSignal.timeout(5000),
      );

    await assert.rejects(pull());
    writeFileSync(join(folder, "certs", address, "ca.crt"), ca.certificate);
    const image = await pull();
    secure.closeAllConnections();
    secure.close();

    assert.equal(fileOf(image.layers[0]), "sealed");
  });
});
