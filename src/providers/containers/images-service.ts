/**
 * The image part of the container runtime contract, on top of `images/`.
 */
import { type ImageStore, type StoredImage } from "#images/image-store.ts";
import { ImageError, type ImageInfo, type ImageService, type RegistryCredential } from "#kubelet/container-runtime.ts";

/** Images of one store that all nodes of the machine share. */
export class ImagesService implements ImageService {
  readonly #store: ImageStore;

  constructor(store: ImageStore) {
    this.#store = store;
  }

  async findImage(reference: string): Promise<ImageInfo | undefined> {
    const image = await this.#store.find(reference);
    return image && infoOf(image);
  }

  pullImage(reference: string, _credentials: readonly RegistryCredential[], _signal: AbortSignal): Promise<ImageInfo> {
    return Promise.reject(
      new ImageError("ErrImagePull", `cannot pull ${reference}: only images that were loaded are here`),
    );
  }

  async listImages(): Promise<readonly ImageInfo[]> {
    return (await this.#store.list()).map(infoOf);
  }

  async removeImage(reference: string): Promise<void> {
    await this.#store.remove(reference);
  }
}

function infoOf(image: StoredImage): ImageInfo {
  const { id, tags, digests, sizeBytes, config } = image;
  return { id, tags, digests, sizeBytes, user: config.config?.User ?? "" };
}
