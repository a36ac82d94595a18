import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { buildImage } from "#images/build/build-image.ts";
import { ImageStore } from "#images/image-store.ts";
import { EmbeddedRegistry } from "#images/registry/embedded-registry.ts";
import { announceHosts } from "#images/registry/hosts.ts";
import { loadLibc } from "#linux/libc.ts";
import { KeptImages } from "./kept-images.ts";

test("what was built for functions is found by cluster, and goes with them", async () => {
  const folder = mkdtempSync(join(tmpdir(), "nl-kept-"));
  try {
    const store = new ImageStore({ folder, clock: systemClock, specialFiles: await loadLibc() });
    await store.open();
    await announceHosts(folder, "one", { address: "127.0.0.1:5000", hosts: ["127.0.0.1:5000"], path: folder });
    const registry = new EmbeddedRegistry({ store });
    for (const repository of [
      "functions/one/default/a",
      "functions/one/default/a/source",
      "functions/other/default/b",
    ]) {
      const name = `127.0.0.1:5000/${repository}:latest`;
      const { digest } = await buildImage(
        { store },
        { layers: [{ files: [{ path: "x", content: repository }] }], name },
      );
      await registry.publish({ repository, tag: "latest" }, digest);
    }
    const kept = new KeptImages({ cluster: "one", imageStore: folder, clock: systemClock });
    const one = { namespace: "default", name: "a" };
    const { id = "", blobs = [] } = (await store.find("127.0.0.1:5000/functions/one/default/a:latest")) ?? {};
    const now = Date.now() + 1000;

    assert.deepEqual(await kept.list(), [one]);
    assert.equal(await kept.remove(one, Date.now() - 60_000), "published");
    await store.hold(id, "pod", folder);
    assert.equal(await kept.remove(one, now), "inUse");
    assert.deepEqual(await kept.list(), [one]);
    await store.release(id, "pod");
    assert.equal(await kept.remove(one, now), "removed");
    assert.equal(await kept.remove({ namespace: "default", name: "absent" }, now), "removed");

    assert.deepEqual(await kept.list(), []);
    assert.equal(await store.find("127.0.0.1:5000/functions/one/default/a:latest"), undefined);
    assert.deepEqual(
      await Promise.all(blobs.map((digest) => store.blobs.find(digest))),
      blobs.map(() => undefined),
    );
    assert.ok(!existsSync(join(folder, "registry/repositories/functions/one")));
    assert.ok(await store.find("127.0.0.1:5000/functions/other/default/b:latest"));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
