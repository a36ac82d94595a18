import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { ImageStore } from "#images/image-store.ts";
import { ImagePuller } from "#images/pull.ts";
import { ImagesService } from "./images-service.ts";

const never = new AbortController().signal;

test("failures have the kubelet's reasons and containerd's sentences", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "nodeless-images-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const store = new ImageStore({ folder, clock: systemClock });
  await store.open();
  const images = new ImagesService({ store, puller: new ImagePuller({ store, settings: {} }) });

  await assert.rejects(images.pullImage("127.0.0.1:1/x", [], never), {
    kind: "ImageError",
    reason: "ErrImagePull",
    isUnreachable: true,
    message:
      /^failed to pull and unpack image "127.0.0.1:1\/x:latest": failed to resolve reference .*connection refused$/,
  });
  for (const ask of [() => images.findImage("Not/An-Image"), () => images.pullImage("Not/An-Image", [], never)]) {
    await assert.rejects(ask, {
      reason: "InvalidImageName",
      message: /^couldn't parse image name "Not\/An-Image": invalid reference format/,
    });
  }
  assert.equal(await images.findImage(`sha256:${"0".repeat(64)}`), undefined);
});
