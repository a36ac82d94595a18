import assert from "node:assert/strict";
import { chmodSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { loadImages } from "#images/load.ts";
import { hostPlatform, mediaTypes, parseImageConfig } from "#images/oci.ts";
import { buildImage } from "./build-image.ts";
import { makeFolder, withStore } from "#images/testing/temporary-store.ts";

describe("building an image", () => {
  it("of files and nothing else gives a bundle that is the same as one that was loaded, but for its history", async () => {
    await withStore(async (store, folder) => {
      const files = { "index.js": "export default {}", "lib/a.txt": "a" };

      const built = await buildImage(
        { store },
        {
          layers: [{ files: Object.entries(files).map(([path, content]) => ({ path, content })) }],
          config: { user: "65534" },
          name: "localhost:5000/fn/hello:1",
        },
      );

      const image = await store.find("localhost:5000/fn/hello:1");
      assert.equal(image?.id, built.id);
      assert.equal(image?.config.config?.User, "65534");
      assert.deepEqual({ os: image?.config.os, architecture: image?.config.architecture }, hostPlatform());
      const layer = join(store.layersFolder, image?.layers[0] ?? "");
      assert.equal(readFileSync(join(layer, "lib/a.txt"), "utf8"), "a");
      assert.equal((await store.find(`localhost:5000/fn/hello@${built.digest}`))?.id, built.id);
      assert.ok(folder);
    });
  });

  it("gives the same digest for the same files, whatever their order, times and umask", async () => {
    await withStore(async (store, folder) => {
      const one = makeFolder(folder, "one", { "b.js": "b", "a/x": "x", "a-b": "y" });
      const two = makeFolder(folder, "two", { "a-b": "y", "a/x": "x", "b.js": "b" });
      chmodSync(join(two, "b.js"), 0o600);
      chmodSync(join(two, "a"), 0o700);
      const build = (from: string, names: readonly string[]) =>
        buildImage(
          { store },
          {
            layers: [
              { folder: from, at: "/app", modes: "plain", files: names.map((path) => ({ path, content: path })) },
            ],
            config: {
              labels: Object.fromEntries(names.map((name) => [name, ""])),
              env: Object.fromEntries(names.map((name) => [name, "1"])),
            },
          },
        );

      const first = await build(one, ["p", "q"]);
      const second = await build(two, ["q", "p"]);

      assert.equal(second.digest, first.digest);
    });
  });

  it("lays layers onto a base and merges what containers get", async () => {
    await withStore(async (store, folder) => {
      await buildImage(
        { store },
        {
          layers: [
            {
              files: [
                { path: "etc/base", content: "base" },
                { path: "app/old.js", content: "old" },
              ],
            },
          ],
          config: {
            env: { PATH: "/bin", MODE: "base" },
            entrypoint: ["/tini"],
            cmd: ["sh"],
            user: "7",
            labels: { a: "1" },
          },
          name: "base:1",
        },
      );

      const built = await buildImage(
        { store },
        {
          base: "base:1",
          layers: [
            {
              folder: makeFolder(folder, "src", { "new.js": "new", "node_modules/x": "" }),
              at: "app",
              isLeftOut: (path) => path === "node_modules",
            },
            {
              files: [
                { path: "/app/link", linkTo: "new.js" },
                { path: "run.sh", content: "#!/bin/sh\n", mode: 0o755 },
              ],
            },
          ],
          config: {
            env: { MODE: "mine" },
            cmd: ["node", "new.js"],
            workingDir: "/app",
            exposedPorts: [8080, "53/udp"],
            labels: { b: "2" },
          },
          annotations: { "org.opencontainers.image.source": "here" },
          compression: "zstd",
          name: "app",
        },
      );

      const image = await store.find("app");
      assert.deepEqual(image?.config.config, {
        Env: ["MODE=mine", "PATH=/bin"],
        Entrypoint: ["/tini"],
        User: "7",
        Labels: { a: "1", b: "2" },
        Cmd: ["node", "new.js"],
        WorkingDir: "/app",
        ExposedPorts: { "53/udp": {}, "8080/tcp": {} },
      });
      assert.deepEqual(
        built.manifest.layers.map(({ mediaType }) => mediaType),
        [mediaTypes.layerGzip, mediaTypes.layerZstd, mediaTypes.layerZstd],
      );
      assert.deepEqual(built.manifest.annotations, { "org.opencontainers.image.source": "here" });
      const config = parseImageConfig(await store.blobs.read(built.id), built.id);
      assert.equal(config.history?.length, config.rootfs.diff_ids.length);
      const [, second = "", third = ""] = image?.layers ?? [];
      assert.equal(readFileSync(join(store.layersFolder, second, "app/new.js"), "utf8"), "new");
      assert.throws(() => statSync(join(store.layersFolder, second, "app/node_modules")), { code: "ENOENT" });
      assert.equal(statSync(join(store.layersFolder, third, "run.sh")).mode & 0o777, 0o755);
    });
  });

  it("with an entrypoint of its own forgets the base's command", async () => {
    await withStore(async (store) => {
      await buildImage({ store }, { layers: [], config: { entrypoint: ["/a"], cmd: ["b"] }, name: "base" });

      const built = await buildImage({ store }, { base: "base", layers: [], config: { entrypoint: ["/c"] } });

      assert.deepEqual(parseImageConfig(await store.blobs.read(built.id), built.id).config, { Entrypoint: ["/c"] });
    });
  });

  it("keeps links as links, and refuses names that lead out", async () => {
    await withStore(async (store, folder) => {
      const source = makeFolder(folder, "links", { "a.txt": "a" });
      symlinkSync("/etc/passwd", join(source, "out"));

      await buildImage({ store }, { layers: [{ folder: source }], name: "links" });
      const image = await store.find("links");

      const layer = join(store.layersFolder, image?.layers[0] ?? "");
      assert.equal(readFileSync(join(layer, "a.txt"), "utf8"), "a");
      const escape = buildImage({ store }, { layers: [{ files: [{ path: "../x", content: "" }] }] });
      await assert.rejects(escape, { kind: "InvalidImage", message: '"../x" leads out of the image' });
      await assert.rejects(
        buildImage({ store }, { base: "absent", layers: [] }),
        /the base image absent is not on this machine/,
      );
    });
  });

  it("stops when it is told to, and leaves nothing behind", async () => {
    await withStore(async (store, folder) => {
      const source = makeFolder(folder, "some", { a: "a" });

      await assert.rejects(
        buildImage({ store }, { layers: [{ folder: source }] }, AbortSignal.abort(new Error("enough"))),
      );

      assert.deepEqual(await store.blobs.list(), []);
    });
  });

  it("takes layouts' layers alike: a bundle that is loaded has the layer of one that is built without compression", async () => {
    await withStore(async (store, folder) => {
      const source = makeFolder(folder, "bundle", { "index.js": "export default {}" });
      const [loaded] = await loadImages(store, source, { name: "loaded" });

      const built = await buildImage({ store }, { layers: [{ folder: source }], compression: "none", name: "built" });

      assert.deepEqual((await store.find("built"))?.layers, loaded?.layers);
      assert.equal(built.manifest.layers[0]?.mediaType, mediaTypes.layer);
    });
  });
});
