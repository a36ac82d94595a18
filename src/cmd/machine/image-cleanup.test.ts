import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { buildImage } from "#images/build/build-image.ts";
import { EmbeddedRegistry } from "#images/registry/embedded-registry.ts";
import { announceHosts } from "#images/registry/hosts.ts";
import type { Cluster, MachineContext } from "./clusters.ts";
import { removeAllImages, removeClusterImages } from "./image-cleanup.ts";
import { openStore } from "./images.ts";

test("a cluster takes the images of its functions along, and with the last one all that is left can go", async () => {
  const folder = mkdtempSync(join(tmpdir(), "nl-cleanup-"));
  try {
    const context = { dataRoot: folder, environment: { PATH: "" } } as Partial<MachineContext> as MachineContext;
    const store = await openStore(context);
    const registry = new EmbeddedRegistry({ store });
    const images = store.folder;
    for (const [name, host] of [
      ["one", "127.0.0.1:5000"],
      ["two", "127.0.2.1:5000"],
    ] as const) {
      mkdirSync(join(folder, "clusters", name), { recursive: true });
      await announceHosts(images, name, { address: host, hosts: [host], path: join(folder, "clusters", name) });
      for (const repository of [`functions/${name}/default/fn`, `functions/${name}/default/fn/source`]) {
        const layers = [{ files: [{ path: "x", content: repository }] }];
        const { digest } = await buildImage({ store }, { layers, name: `${host}/${repository}:latest` });
        await registry.publish({ repository, tag: "latest" }, digest);
      }
    }
    const { digest } = await buildImage({ store }, { layers: [], name: "shop/api" });
    await registry.publish({ repository: "shop/api", tag: "1" }, digest);
    mkdirSync(join(folder, "builds/storage/overlay"), { recursive: true });
    writeFileSync(join(folder, "builds/storage/overlay/layer"), "");
    writeFileSync(join(folder, "builds/auth.json"), "{}");

    await removeClusterImages({ record: { name: "one" }, layout: { images } } as Cluster);
    rmSync(join(folder, "clusters/one"), { recursive: true });

    const ofTwo = ["functions/two/default/fn", "functions/two/default/fn/source"];
    assert.deepEqual(await registry.catalog(), [...ofTwo, "shop/api"]);
    assert.equal(await store.find("127.0.0.1:5000/functions/one/default/fn:latest"), undefined);

    const first = await removeAllImages(context);

    assert.deepEqual([first.repositories, first.keptRepositories], [[], [...ofTwo, "shop/api"]]);
    assert.deepEqual([await store.list(), first.kept, first.isBuilding], [[], [], false]);
    assert.deepEqual(
      readdirSync(join(folder, "builds")).filter((name) => name !== "lock"),
      [],
    ); // nor credentials

    // Its cluster's folder was removed by hand.
    rmSync(join(folder, "clusters/two"), { recursive: true });
    const last = await removeAllImages(context);

    assert.deepEqual(last.repositories, [...ofTwo, "shop/api"]);
    assert.deepEqual([await registry.catalog(), await store.blobs.list()], [[], []]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
