import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { buildImage } from "#images/build/build-image.ts";
import { EmbeddedRegistry } from "#images/registry/embedded-registry.ts";
import { announceHosts } from "#images/registry/hosts.ts";
import type { MachineContext } from "./clusters.ts";
import { pushStoredImage } from "./image-push.ts";
import { openStore } from "./images.ts";

async function withImage(
  body: (parts: {
    readonly context: MachineContext;
    readonly digest: string;
    readonly registry: EmbeddedRegistry;
  }) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nl-push-"));
  const context = {
    dataRoot: folder,
    environment: { HOME: folder, NODELESS_REGISTRIES: join(folder, "none.yaml") },
  } as Partial<MachineContext> as MachineContext;
  try {
    const store = await openStore(context);
    await announceHosts(store.folder, "one", { address: "127.0.0.1:5000", hosts: ["127.0.0.1:5000"], path: folder });
    const { digest } = await buildImage(
      { store },
      { layers: [{ files: [{ path: "a", content: "a" }] }], name: "tools/a" },
    );
    await body({ context, digest, registry: new EmbeddedRegistry({ store }) });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("image push", () => {
  it("puts an image into the machine's registry without a connection, under the name that is wanted", async () => {
    await withImage(async ({ context, digest, registry }) => {
      const pushed = await pushStoredImage(context, "tools/a", "127.0.0.1:5000/shop/a:v1");

      assert.deepEqual([pushed.name, pushed.digest], ["127.0.0.1:5000/shop/a:v1", digest]);
      assert.equal((await registry.findManifest(registry.repository("shop/a"), "v1"))?.digest, digest);
    });
  });

  it("shows another registry what docker login left", async () => {
    await withImage(async ({ context }) => {
      const heard: (string | undefined)[] = [];
      const server = createServer(({ headers: { authorization }, method }, response) => {
        heard.push(authorization);
        if (authorization === undefined)
          return void response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
        response.writeHead(method === "HEAD" ? 200 : 201).end();
      }).listen(0, "127.0.0.1");
      await new Promise((resolve) => server.once("listening", resolve));
      const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
      const auth = Buffer.from("me:secret").toString("base64");
      const folder = join(context.environment["HOME"] ?? "", ".docker");
      mkdirSync(folder);
      writeFileSync(join(folder, "config.json"), JSON.stringify({ auths: { [host]: { auth } } }));

      await pushStoredImage(context, "tools/a", `${host}/a:1`);
      server.closeAllConnections();
      server.close();

      assert.ok(heard.includes(`Basic ${auth}`));
    });
  });

  it("says what is wrong with the image, the name, or the registry", async () => {
    await withImage(async ({ context }) => {
      await assert.rejects(pushStoredImage(context, "tools/b", "x"), /no image "tools\/b"/);
      await assert.rejects(pushStoredImage(context, "tools/a", "X Y"), /"X Y" cannot name an image/);
      await assert.rejects(
        pushStoredImage(context, "tools/a", "127.0.0.1:1/a:1"),
        /tools\/a was not pushed to 127\.0\.0\.1:1\/a:1: .*refused/,
      );
    });
  });
});
