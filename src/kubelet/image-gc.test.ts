import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import type { ImageService } from "./container-runtime.ts";
import { ImageGc } from "./image-gc.ts";

const gibibyte = 2 ** 30;

function house(freeBytes: number, images: Readonly<Record<string, number>>) {
  const clock = new FakeClock();
  const left = new Map(Object.entries(images));
  const failures: string[] = [];
  const disk = { freeBytes };
  const gc = new ImageGc({
    images: {
      listImages: async () => [...left].map(([id, sizeBytes]) => ({ id, tags: [], digests: [], sizeBytes, user: "" })),
      removeImage: async (id: string) => {
        disk.freeBytes += left.get(id) ?? 0;
        left.delete(id);
      },
    } as unknown as ImageService,
    inUse: () => new Set(["used"]),
    folder: "/",
    disk: async () => ({ blocks: 20 * gibibyte, bavail: disk.freeBytes, bsize: 1 }),
    onFailure: (message) => failures.push(message),
    clock,
    logger: silentLogger,
  });
  /** Two looks, so that images have been seen for long enough. */
  const run = async () => {
    await gc.run();
    await clock.advance(121_000);
    await gc.run();
    return [...left.keys()];
  };
  return { run, failures };
}

test("images stay while there is room", async () => {
  const { run } = house(3.5 * gibibyte, { old: gibibyte });
  assert.deepEqual(await run(), ["old"]);
});

test("when the disk fills up unused images go, until a fifth of it is free", async () => {
  const { run, failures } = house(2.5 * gibibyte, { used: gibibyte, a: gibibyte, b: gibibyte, c: gibibyte });
  assert.deepEqual(await run(), ["used", "c"]);
  assert.deepEqual(failures, []);
});

test("what could not be freed is told once", async () => {
  const { run, failures } = house(gibibyte, { used: gibibyte, a: gibibyte });
  assert.deepEqual(await run(), ["used"]);
  await run();
  assert.deepEqual(failures, [
    "Failed to garbage collect required amount of images. Attempted to free 3221225472 bytes, but only found 1073741824 bytes eligible to free.",
  ]);
});
