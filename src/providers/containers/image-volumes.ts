/**
 * Volumes of type image: an image's layers over each other as a folder that containers read. Writing never happens (containers get it read-only), so what is above the
 * layers stays empty.
 */
import { mkdir } from "node:fs/promises";
import type { ImageStore } from "#images/image-store.ts";
import { ImageError, type ImageVolumes } from "#kubelet/container-runtime.ts";
import type { Libc } from "#linux/libc.ts";
import { mountOverlay } from "#linux/mounts.ts";

/** What image volumes are made of. */
export type ImageVolumesOptions = { readonly store: ImageStore; readonly libc: Libc };

/** Image volumes from the store that containers' roots come from. */
export function createImageVolumes({ store, libc }: ImageVolumesOptions): ImageVolumes {
  return {
    async mountImage({ imageId, target, key }) {
      const image = await store.find(imageId);
      if (!image) throw new ImageError("ErrImagePull", `image ${JSON.stringify(imageId)} is not here`);
      await store.hold(image.id, key, target);
      const layers = { lower: [...image.layers].reverse(), upper: `${target}.upper`, work: `${target}.work` };
      await Promise.all([layers.upper, layers.work].map((folder) => mkdir(folder, { recursive: true })));
      mountOverlay(libc, target, { lowerFolder: store.layersFolder, ...layers });
    },
  };
}
