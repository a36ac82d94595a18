/**
 * Pulls from Debian's docker-registry, pushed to as a builder would. Skipped, with a line, where it is not installed (apt-get install docker-registry).
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { ImageStore } from "#images/image-store.ts";
import type { ImageIndex, ImageManifest } from "#images/oci.ts";
import { ImagePuller } from "#images/pull.ts";
import { loadLibc } from "#linux/libc.ts";
import { findProgram } from "#runtime/machine.ts";
import { ensureLayout } from "../../tools/image-builder/build.ts";

const registry = findProgram("docker-registry", process.env["PATH"] ?? "");

test("an image comes out of Debian's docker-registry as it was put in", {
  skip: registry === undefined && "docker-registry is not installed",
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "nodeless-registry-"));
  const port = await freePort();
  writeFileSync(
    join(folder, "config.yml"),
    JSON.stringify({
      version: 0.1,
      log: { level: "error" },
      storage: { filesystem: { rootdirectory: folder } },
      http: { addr: `127.0.0.1:${port}` },
    }),
  );
  const child = spawn(registry ?? "", ["serve", join(folder, "config.yml")], { stdio: "ignore" });
  try {
    await answers(`http://127.0.0.1:${port}/v2/`);
    const digest = await push(await ensureLayout("busybox"), `http://127.0.0.1:${port}`, "tools/busybox");
    const store = new ImageStore({
      folder: join(folder, "images"),
      clock: systemClock,
      specialFiles: await loadLibc(),
    });
    await store.open();

    const image = await new ImagePuller({ store, settings: {} }).pull(
      `127.0.0.1:${port}/tools/busybox:v1`,
      [],
      new AbortController().signal,
    );

    assert.equal(image.manifestDigest, digest);
    assert.equal(image.layers.length, 1);
    assert.match(readFileSync(join(store.layersFolder, image.layers[0] ?? "", "etc/passwd"), "utf8"), /^root:/);
  } finally {
    child.kill();
    await once(child, "exit");
    rmSync(folder, { recursive: true, force: true });
  }
});

async function push(layout: string, base: string, name: string): Promise<string> {
  const blob = (digest: string): Buffer => readFileSync(join(layout, "blobs", "sha256", digest.slice(7)));
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as ImageIndex;
  const digest = index.manifests[0]?.digest ?? "";
  const manifest = JSON.parse(blob(digest).toString()) as ImageManifest;
  for (const part of [manifest.config, ...manifest.layers]) {
    const begun = await fetch(`${base}/v2/${name}/blobs/uploads/`, { method: "POST" });
    const target = new URL(begun.headers.get("location") ?? "", base);
    target.searchParams.set("digest", part.digest);
    const done = await fetch(target, {
      method: "PUT",
      body: new Uint8Array(blob(part.digest)),
      headers: { "content-type": "application/octet-stream" },
    });
    assert.equal(done.status, 201);
  }
  const headers = { "content-type": manifest.mediaType ?? "" };
  const done = await fetch(`${base}/v2/${name}/manifests/v1`, {
    method: "PUT",
    body: new Uint8Array(blob(digest)),
    headers,
  });
  assert.equal(done.status, 201, await done.text());
  return digest;
}

async function answers(url: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await fetch(url);
      return;
    } catch (error) {
      if (tries === 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}
