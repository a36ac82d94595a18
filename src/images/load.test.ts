import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { ImageStore } from "./image-store.ts";
import { loadImages } from "./load.ts";

describe("loading a bundle", () => {
  it("makes an image of a folder of modules, named after it, of nobody", async () => {
    await withStore(async (store, folder) => {
      const bundle = makeBundle(folder, "Hello", { "index.js": "export default {}", "lib/a.txt": "a" });

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
      const [first] = await loadImages(store, makeBundle(folder, "one", files), { name: "shop/api:v2" });
      const [second] = await loadImages(store, makeBundle(folder, "two", files));

      assert.deepEqual(first?.tags, ["docker.io/shop/api:v2"]);
      assert.equal(second?.id, first?.id);
    });
  });

  it("refuses a folder that is none, and says what would make it one", async () => {
    await withStore(async (store, folder) => {
      const other = makeBundle(folder, "other", { "readme.md": "" });

      await assert.rejects(loadImages(store, other), {
        kind: "InvalidImage",
        message: /nor a bundle \(which has one of index\.js/,
      });
    });
  });
});

function makeBundle(root: string, name: string, files: Readonly<Record<string, string>>): string {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(root, name, path, ".."), { recursive: true });
    writeFileSync(join(root, name, path), content);
  }
  return join(root, name);
}

async function withStore(body: (store: ImageStore, folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nl-load-"));
  const store = new ImageStore({ folder: join(folder, "store"), clock: systemClock });
  await store.open();
  try {
    await body(store, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
