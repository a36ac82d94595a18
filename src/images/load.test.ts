import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { loadImages } from "./load.ts";
import { makeFolder, withStore } from "./testing/temporary-store.ts";

describe("loading a bundle", () => {
  it("makes an image of a folder of modules, named after it, of nobody", async () => {
    await withStore(async (store, folder) => {
      const bundle = makeFolder(folder, "Hello", { "index.js": "export default {}", "lib/a.txt": "a" });

      const [image] = await loadImages(store, bundle);

      assert.deepEqual(image?.tags, ["docker.io/library/hello:latest"]);
      assert.equal(image?.config.config?.User, "65534");
      const layer = join(store.layersFolder, image?.layers[0] ?? "");
      assert.equal(readFileSync(join(layer, "lib/a.txt"), "utf8"), "a");
      assert.equal((await store.find("hello"))?.id, image?.id);
    });
  });

  it("takes another name, and gives the same image for the same files", async () => {
    await withStore(async (store, folder) => {
      const files = { "worker.js": "export default {}" };
      const [first] = await loadImages(store, makeFolder(folder, "one", files), { name: "shop/api:v2" });
      const [second] = await loadImages(store, makeFolder(folder, "two", files));

      assert.deepEqual(first?.tags, ["docker.io/shop/api:v2"]);
      assert.equal(second?.id, first?.id);
    });
  });

  it("refuses a folder that is none, and says what would make it one", async () => {
    await withStore(async (store, folder) => {
      const other = makeFolder(folder, "other", { "readme.md": "" });

      await assert.rejects(loadImages(store, other), {
        kind: "InvalidImage",
        message: /nor a bundle \(which has one of index\.js/,
      });
    });
  });
});
