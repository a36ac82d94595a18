import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container, Pod } from "#api/generated/types/core-v1.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { ImageError, type ImageInfo, type ImageService } from "#kubelet/container-runtime.ts";
import { Backoff } from "./backoff.ts";
import { ImageNotReady, ImagePuller } from "./image-puller.ts";
import { PulledImages } from "./pulled-images.ts";

const container: Container = { name: "wget", image: "busybox", imagePullPolicy: "Always" };
const pod: Pod = { metadata: { name: "p", namespace: "default", uid: "u" }, spec: { containers: [container] } };

/** A puller whose registry always fails in this way, on a machine that has this image. */
function pullerOn(image: Partial<ImageInfo>, reason: ImageError["reason"], isUnreachable = false) {
  const said: string[] = [];
  const clock = new FakeClock();
  const found: ImageInfo = {
    id: "sha256:1",
    tags: [],
    digests: ["busybox@sha256:2"],
    sizeBytes: 1,
    user: "",
    ...image,
  };
  const images: ImageService = {
    findImage: async () => found,
    pullImage: async () => {
      throw new ImageError(reason, "no way", isUnreachable ? { isUnreachable } : undefined);
    },
    listImages: async () => [found],
    removeImage: async () => {},
  };
  const events = {
    pod: (_pod: Pod, _type: string, _reason: string, message: string) => void said.push(message),
    node() {},
  };
  const puller = new ImagePuller({
    images,
    pulled: new PulledImages("/nowhere", silentLogger),
    events,
    clock,
    backoff: new Backoff(clock),
  });
  const ensure = () => puller.ensureImage(pod, container, async () => [], new AbortController().signal);
  return { ensure, said };
}

test("an image that was loaded by hand stands in while its registry is out of reach", async () => {
  const { ensure, said } = pullerOn({ isLoaded: true }, "ErrImagePull", true);

  assert.equal((await ensure()).id, "sha256:1");
  assert.match(said.at(-1) ?? "", /"busybox" was loaded into this machine and its registry cannot be reached: no way/);
});

test("Always asks the registry: what it refuses, and what others pulled, is not run", async () => {
  await assert.rejects(pullerOn({ isLoaded: true }, "ErrImagePull").ensure(), ImageNotReady);
  await assert.rejects(pullerOn({}, "RegistryUnavailable").ensure(), ImageNotReady);
});

test("an image that nodes have by themselves is not pulled under any policy", async () => {
  const { ensure, said } = pullerOn({ isBuiltIn: true }, "ErrImagePull");

  assert.equal((await ensure()).id, "sha256:1");
  assert.deepEqual(said, ['Container image "busybox" already present on machine and can be accessed by the pod']);
});
