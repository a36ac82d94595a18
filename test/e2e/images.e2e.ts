/**
 * Layers as overlayfs shows them: what a layer hides is gone, what it changes is changed, and many layers fit into one mount. Root only.
 * Run: node tools/node24.mjs test/e2e/images.e2e.ts
 */
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { ImageStore, type StoredImage } from "#images/image-store.ts";
import { writeLayout } from "#images/layout-writer.ts";
import { loadImages } from "#images/load.ts";
import { type Libc, loadLibc } from "#linux/libc.ts";
import { mountOverlay, unmount } from "#linux/mounts.ts";
import { runInside, testFolder } from "./inside-namespaces.ts";

const folder = testFolder();

if (folder === undefined) {
  test("layers are what they should be", { skip: process.getuid?.() !== 0 && "needs root" }, async () => {
    assert.equal(await runInside(import.meta.filename), 0);
  });
} else {
  defineTests(folder);
}

function defineTests(root: string): void {
  test("a layer hides and changes what is below", async () => {
    const { store, libc, image } = await load(root, "hides", [
      { "etc/passwd": "old", "etc/hosts": "old", "opt/a": "1", "opt/b": "2", "tmp/x": "1", "var/log/one": "1" },
      {
        "etc/.wh.passwd": "",
        "etc/hosts": "new",
        "opt/.wh..wh..opq": "",
        "opt/c": "3",
        "tmp/y": "2",
        ".wh.var": "",
        "var/new": "n",
      },
    ]);

    withMount(root, store, libc, image, (merged) => {
      assert.deepEqual(readdirSync(join(merged, "etc")), ["hosts"]);
      assert.equal(readFileSync(join(merged, "etc/hosts"), "utf8"), "new");
      assert.deepEqual(readdirSync(join(merged, "opt")), ["c"]);
      assert.deepEqual(readdirSync(join(merged, "tmp")).sort(), ["x", "y"]);
      assert.deepEqual(readdirSync(join(merged, "var")), ["new"]);
      writeFileSync(join(merged, "etc/hosts"), "mine");
    });
    withMount(root, store, libc, image, (merged) =>
      assert.equal(readFileSync(join(merged, "etc/hosts"), "utf8"), "new"),
    );
  });

  test("120 layers fit into one mount, and each is unpacked once", async () => {
    const layers = Array.from({ length: 120 }, (_, index) => ({ [`file-${index}`]: String(index) }));
    const { store, libc, image } = await load(root, "many", layers);
    const before = statSync(join(store.layersFolder, image.layers[0] ?? "")).ino;

    const [again] = await loadImages(store, join(root, "many", "layout"), { name: "many:two" });

    assert.equal(statSync(join(store.layersFolder, image.layers[0] ?? "")).ino, before);
    assert.deepEqual(again?.layers, image.layers);
    withMount(root, store, libc, image, (merged) => assert.equal(readdirSync(merged).length, 120));
  });

  test("several processes may load one image at the same time", async () => {
    const { store, libc } = await load(root, "shared", [{ a: "1" }, { b: "2" }]);
    const stores = [1, 2, 3].map(
      () => new ImageStore({ folder: join(root, "fresh"), clock: systemClock, specialFiles: libc }),
    );
    for (const one of stores) await one.open();

    const loaded = await Promise.all(
      stores.map((one, index) => loadImages(one, join(root, "shared", "layout"), { name: `shared:${index}` })),
    );

    assert.equal(new Set(loaded.flat().map((image) => image.id)).size, 1);
    const [only] = await (stores[0] as ImageStore).list();
    assert.ok((only?.tags.length ?? 0) >= 1);
    assert.deepEqual(readdirSync(join(root, "fresh", "tmp")), []);
    assert.ok(existsSync(store.folder));
  });
}

async function load(
  root: string,
  name: string,
  layers: readonly Readonly<Record<string, string>>[],
): Promise<{ readonly store: ImageStore; readonly libc: Libc; readonly image: StoredImage }> {
  const folders = layers.map((files, index) => {
    const layer = join(root, name, `layer-${index}`);
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(layer, path)), { recursive: true });
      writeFileSync(join(layer, path), text);
    }
    chmodSync(layer, 0o755);
    return layer;
  });
  await writeLayout(join(root, name, "layout"), {
    name: `docker.io/library/${name}:latest`,
    layers: folders,
    config: {},
  });
  const libc = await loadLibc();
  const store = new ImageStore({ folder: join(root, "images"), clock: systemClock, specialFiles: libc });
  await store.open();
  const [image] = await loadImages(store, join(root, name, "layout"));
  assert.ok(image);
  return { store, libc, image };
}

function withMount(
  root: string,
  store: ImageStore,
  libc: Libc,
  image: StoredImage,
  look: (merged: string) => void,
): void {
  const work = join(root, `mount-${Math.random().toString(36).slice(2)}`);
  const [merged, upper, inner] = ["merged", "upper", "work"].map((name) => join(work, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [merged, upper, inner]) mkdirSync(path, { recursive: true });
  mountOverlay(libc, merged, {
    lowerFolder: store.layersFolder,
    lower: [...image.layers].reverse(),
    upper,
    work: inner,
  });
  try {
    look(merged);
  } finally {
    unmount(libc, merged);
  }
}
