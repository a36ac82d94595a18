/**
 * Volumes of type image: an image's layers over each other as a folder that containers read. Writing never happens (containers get it read-only), so what is above the
 * layers stays empty.
 */
import { mkdir } from "node:fs/promises";
import type { ImageStore } from "#images/image-store.ts";
import {
  ImageError,
  type ImageService,
  type ImageVolumes,
  type RegistryCredential,
} from "#kubelet/container-runtime.ts";
import type { Libc } from "#linux/libc.ts";
import { mountOverlay } from "#linux/mounts.ts";

/** What image volumes are made of. */
export type ImageVolumesOptions = { readonly store: ImageStore; readonly images: ImageService; readonly libc: Libc };

/** Image volumes from the store that containers' roots come from. */
export function createImageVolumes({ store, images, libc }: ImageVolumesOptions): ImageVolumes {
  return {
    async mountImage({ reference, pullPolicy, credentials, target, key }) {
      await ensureImage(images, reference, pullPolicy, credentials);
      const image = await store.find(reference);
      if (!image) throw new ImageError("ErrImagePull", `image ${JSON.stringify(reference)} is not here`);
      await store.hold(image.id, key, target);
      const layers = { lower: [...image.layers].reverse(), upper: `${target}.upper`, work: `${target}.work` };
      await Promise.all([layers.upper, layers.work].map((folder) => mkdir(folder, { recursive: true })));
      mountOverlay(libc, target, { lowerFolder: store.layersFolder, ...layers });
    },
  };
}

async function ensureImage(
  images: ImageService,
  reference: string,
  pullPolicy: string,
  credentials: () => Promise<readonly RegistryCredential[]>,
): Promise<void> {
  const isHere = pullPolicy !== "Always" && (await images.findImage(reference)) !== undefined;
  if (isHere) return;
  if (pullPolicy === "Never") {
    const message = `Container image ${JSON.stringify(reference)} is not present with pull policy of Never`;
    throw new ImageError("ErrImageNeverPull", message);
  }
  await images.pullImage(reference, await credentials(), new AbortController().signal);
}
