/**
 * The image part of the container runtime contract, on top of `images/`: failures become the kubelet's reasons and containerd's well-known sentences.
 */
import { type ImageStore, type StoredImage } from "#images/image-store.ts";
import { InvalidImage } from "#images/oci.ts";
import { type ImagePuller } from "#images/pull.ts";
import { formatReference, InvalidReference, parseReference } from "#images/reference.ts";
import { RegistryError } from "#images/registry-client.ts";
import {
  ImageError,
  type ImageInfo,
  type ImageService,
  type PulledImage,
  type RegistryCredential,
} from "#kubelet/container-runtime.ts";

/** Images of one store that all nodes of the machine share. */
export class ImagesService implements ImageService {
  readonly #store: ImageStore;
  readonly #puller: ImagePuller;

  constructor(options: { readonly store: ImageStore; readonly puller: ImagePuller }) {
    this.#store = options.store;
    this.#puller = options.puller;
  }

  async findImage(reference: string): Promise<ImageInfo | undefined> {
    checkName(reference);
    const image = await this.#store.find(reference);
    return image && infoOf(image);
  }

  async pullImage(
    reference: string,
    credentials: readonly RegistryCredential[],
    signal: AbortSignal,
  ): Promise<PulledImage> {
    try {
      const { credential, ...image } = await this.#puller.pull(reference, credentials, signal);
      return { ...infoOf(image), ...(credential && { credential }) };
    } catch (error) {
      if (signal.aborted) throw error;
      throw asImageError(reference, error);
    }
  }

  async listImages(): Promise<readonly ImageInfo[]> {
    return (await this.#store.list()).map(infoOf);
  }

  async removeImage(reference: string): Promise<void> {
    await this.#store.remove(reference);
  }
}

function infoOf(image: StoredImage): ImageInfo {
  const { id, tags, digests, sizeBytes, config, isLoaded = false } = image;
  return { id, tags, digests, sizeBytes, user: config.config?.User ?? "", isLoaded };
}

function checkName(reference: string): void {
  // What runs here may be asked for by its id.
  if (/^sha256:[0-9a-f]{64}$/.test(reference)) return;
  try {
    parseReference(reference);
  } catch (error) {
    throw asImageError(reference, error);
  }
}

function asImageError(reference: string, error: unknown): unknown {
  if (error instanceof InvalidReference) {
    const message = `couldn't parse image name "${reference}": ${error.message}`;
    return new ImageError("InvalidImageName", message, { cause: error });
  }
  if (!(error instanceof RegistryError) && !(error instanceof InvalidImage)) return error;
  const name = formatReference(parseReference(reference));
  // As containerd, which has no reason of its own for a registry that is away.
  return new ImageError("ErrImagePull", `failed to pull and unpack image "${name}": ${error.message}`, {
    cause: error,
    isUnreachable: error instanceof RegistryError && error.reason === "unavailable",
  });
}
