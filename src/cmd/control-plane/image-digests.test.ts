import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile, mkdir } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { Client } from "#client/client.ts";
import { systemClock } from "#component-base/clock.ts";
import { buildImage } from "#images/build/build-image.ts";
import { ImageStore } from "#images/image-store.ts";
import { addNamedImage } from "#images/load.ts";
import { EmbeddedRegistry } from "#images/registry/embedded-registry.ts";
import { announceHosts } from "#images/registry/hosts.ts";
import { ImageDigests } from "./image-digests.ts";

const digest = (letter: string) => `sha256:${letter.repeat(64)}`;
const identity = { namespace: "default", serviceAccountName: "default", imagePullSecrets: [] };
const never = new AbortController().signal;

/** A machine with these images, under names of registry `host`. */
async function machine(t: TestContext, images: readonly object[]): Promise<ImageDigests> {
  const folder = await mkdtemp(join(tmpdir(), "digests-"));
  t.after(() => rm(folder, { recursive: true }));
  if (images.length > 0) await mkdir(join(folder, "images"));
  for (const [index, image] of images.entries())
    await writeFile(join(folder, "images", `${String(index).repeat(64)}.json`), JSON.stringify(image));
  const client = { get: () => Promise.reject(new Error("no secrets here")) } as unknown as Client;
  return new ImageDigests({ client, imagesFolder: folder, settings: async () => ({}), clock: systemClock });
}

/** A registry on which every tag is this digest; nobody, once it is closed. */
async function registry(t: TestContext): Promise<{ readonly host: string; close(): void }> {
  const server = createServer((_request, response) => response.setHeader("docker-content-digest", digest("a")).end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  t.after(close);
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

test("an image that was loaded here is what it is, and no registry is asked", async (t) => {
  const here = `docker.io/team/web@${digest("b")}`;
  const images = await machine(t, [{ tags: ["docker.io/team/web:latest"], digests: [here], isLoaded: true }]);

  assert.equal(await images.resolve("team/web", identity, never), here);
});

test("a tag of the machine's own registry is what it means there, also when another image of that name was loaded here", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "digests-"));
  t.after(() => rm(folder, { recursive: true }));
  const store = new ImageStore({ folder, clock: systemClock });
  await store.open();
  const build = (content: string) => buildImage({ store }, { layers: [{ files: [{ path: "a", content }] }] });
  const [loaded, pushed] = [await build("loaded"), await build("pushed")];
  await addNamedImage(store, loaded.digest, "localhost:5000/web:v1");
  await new EmbeddedRegistry({ store }).publish({ repository: "web", tag: "v1" }, pushed.digest);
  await announceHosts(folder, "c", { address: "127.0.0.1:5000", hosts: ["localhost:5000"], path: folder });
  const images = new ImageDigests({
    client: {} as unknown as Client,
    imagesFolder: folder,
    settings: async () => ({}),
    clock: systemClock,
  });

  const found = await images.resolve("localhost:5000/web:v1", identity, never);

  assert.equal(found, `localhost:5000/web@${pushed.digest}`);
});

test("the empty image of isolates has no digest", async (t) => {
  const images = await machine(t, []);

  assert.equal(await images.resolve("nodeless.dev/isolate", identity, never), undefined);
});

test("a tag means what its registry says; what was pulled before stands in for one that is away", async (t) => {
  const { host, close } = await registry(t);
  const images = await machine(t, [{ tags: [`${host}/web:v1`], digests: [`${host}/web@${digest("b")}`] }]);
  assert.equal(await images.resolve(`${host}/web:v1`, identity, never), `${host}/web@${digest("a")}`);

  close();
  assert.equal(await images.resolve(`${host}/web:v1`, identity, never), `${host}/web@${digest("b")}`);
  await assert.rejects(images.resolve(`${host}/other:v1`, identity, never), /connection refused/);
});
