/**
 * The machine's registry as something to pull from: no connection is made, and blobs are in the store already.
 */
import type { Readable } from "node:stream";
import type { ImageSource } from "#images/image-source.ts";
import { RegistryError } from "#images/registry-client.ts";
import { EmbeddedRegistry } from "./embedded-registry.ts";
import type { ImageStore } from "#images/image-store.ts";

/** One repository of it. */
export class EmbeddedSource implements ImageSource {
  readonly #registry: EmbeddedRegistry;
  readonly #repository: string;

  constructor(store: ImageStore, repository: string) {
    this.#registry = new EmbeddedRegistry({ store });
    this.#repository = repository;
  }

  async manifest(reference: string): Promise<Buffer> {
    const found = await this.#registry.findManifest(this.#registry.repository(this.#repository), reference);
    if (found) return found.bytes;
    throw new RegistryError("notFound", `the registry of this machine has no ${this.#repository}:${reference}`);
  }

  async bringBlob(digest: string): Promise<boolean> {
    return this.#registry.bringBlob(this.#repository, digest);
  }

  async blob(digest: string): Promise<{ readonly body: Readable; readonly start: number }> {
    throw new RegistryError("notFound", `${this.#repository} in the registry of this machine has no ${digest}`);
  }
}
