import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { buildImage } from "./build-image.ts";
import { withLoadedBases } from "./loaded-bases.ts";
import { withStore } from "#images/testing/temporary-store.ts";

describe("bases that were loaded", () => {
  it("are served by their names while a build runs, to who was told where; what was pulled is not", async () => {
    await withStore(async (store) => {
      const loaded = await buildImage(
        { store },
        { layers: [{ files: [{ path: "a", content: "a" }] }], name: "tools/base:1" },
      );
      const pulled = await buildImage({ store }, { layers: [{ files: [{ path: "b", content: "b" }] }] });
      await store.add(pulled.digest, { tag: "docker.io/tools/secret:1" });

      const address = await withLoadedBases(store, async ({ mirror, repositories }) => {
        const [host = "", secret = ""] = mirror.split("/");
        const ask = (path: string) => fetch(`http://${host}/v2/${path}`);
        const blob = loaded.manifest.layers[0]?.digest ?? "";
        assert.deepEqual(repositories, ["docker.io/tools/base"]);
        const manifest = await ask(`${secret}/docker.io/tools/base/manifests/1`);
        assert.deepEqual(
          [manifest.status, manifest.headers.get("docker-content-digest"), await manifest.json()],
          [200, loaded.digest, JSON.parse(JSON.stringify(loaded.manifest))],
        );
        assert.equal((await ask(`${secret}/docker.io/tools/base/manifests/${loaded.digest}`)).status, 200);
        assert.equal((await ask(`${secret}/docker.io/tools/base/blobs/${blob}`)).status, 200);
        for (const path of [
          `${secret}/docker.io/tools/base/manifests/2`,
          `${secret}/docker.io/tools/secret/manifests/1`,
          `${secret}/docker.io/tools/base/blobs/${pulled.manifest.layers[0]?.digest}`,
          `docker.io/tools/base/manifests/1`,
        ])
          assert.equal((await ask(path)).status, 404, path);
        return host;
      });

      await assert.rejects(fetch(`http://${address}/v2/`), "nobody listens afterwards");
    });
  });

  it("need no server where nothing was loaded", async () => {
    await withStore(async (store) => {
      assert.deepEqual(await withLoadedBases(store, async (bases) => bases), { mirror: "", repositories: [] });
    });
  });
});
