/**
 * The code of a container: the files of its image, over them what is mounted at /bundle, and its environment. Images are kept read, for one is started many times.
 */
import { join } from "node:path";
import type { ImageStore } from "#images/image-store.ts";
import { ContainerError, type ContainerSpec } from "#kubelet/container-runtime.ts";
import { type BundleFiles, codeOf, readLayers, readMounts } from "./bundle.ts";
import { inlineImage } from "./inline-image.ts";
import type { IsolateCode } from "./loader.ts";

const defaultPort = 8080;
/** Images that are kept read. */
const mostImages = 16;

/** Reads bundles out of an image store. */
export class CodeReader {
  readonly #images: ImageStore;
  readonly #read = new Map<string, BundleFiles>();

  constructor(images: ImageStore) {
    this.#images = images;
  }

  /** Throws {@link ContainerError} for an image that is not here and a bundle that cannot be run. */
  async read(spec: ContainerSpec, compatibilityDate: string): Promise<IsolateCode> {
    const files = new Map([...(await this.#filesOf(spec.imageId)), ...readMounts(spec.mounts)]);
    const env = Object.fromEntries(spec.env.map(({ name, value }) => [name, value]));
    return codeOf(files, env, compatibilityDate);
  }

  async #filesOf(id: string): Promise<BundleFiles> {
    if (id === inlineImage.id) return new Map();
    const known = this.#read.get(id);
    if (known) return known;
    const image = await this.#images.find(id);
    if (!image) throw new ContainerError("CreateContainerError", `image ${id} is not on this machine`);
    const files = readLayers(image.layers.map((layer) => join(this.#images.layersFolder, layer)));
    for (const oldest of this.#read.keys()) if (this.#read.size >= mostImages) this.#read.delete(oldest);
    this.#read.set(id, files);
    return files;
  }
}

/** Where an isolate listens: at its first port, else at PORT of its environment, else at 8080. */
export function portOf(spec: ContainerSpec): number {
  const fromEnvironment = Number(spec.env.findLast(({ name }) => name === "PORT")?.value);
  const asked = Number.isInteger(fromEnvironment) && fromEnvironment > 0 ? fromEnvironment : undefined;
  return spec.ports?.[0] ?? asked ?? defaultPort;
}
