/**
 * Pulls from Debian's docker-registry, pushed to as a builder would. Skipped, with a line, where it is missing (`npm test` fetches it where root and apt allow).
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { ImageStore } from "#images/image-store.ts";
import { ImagePuller } from "#images/pull.ts";
import { loadLibc } from "#linux/libc.ts";
import { ensureLayout } from "../../tools/image-builder/build.ts";
import { findDockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";

test("an image comes out of Debian's docker-registry as it was put in", {
  skip: findDockerRegistry() === undefined && "docker-registry is not there",
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "nodeless-registry-store-"));
  const registry = await startDockerRegistry({ host: "127.0.0.1" });
  try {
    const digest = await registry.push(await ensureLayout("busybox"), "tools/busybox", "v1");
    const store = new ImageStore({ folder, clock: systemClock, specialFiles: await loadLibc() });
    await store.open();

    const image = await new ImagePuller({ store, settings: {} }).pull(
      `${registry.address}/tools/busybox:v1`,
      [],
      new AbortController().signal,
    );

    assert.equal(image.manifestDigest, digest);
    assert.equal(image.layers.length, 1);
    assert.match(readFileSync(join(store.layersFolder, image.layers[0] ?? "", "etc/passwd"), "utf8"), /^root:/);
  } finally {
    await registry.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
