/**
 * The images and sources of functions in the machine's registry: which there are, and how they go when their function has gone. What a pod still runs on stays in the store as long as it does.
 */
import type { Clock } from "#component-base/clock.ts";
import { ImageStore } from "#images/image-store.ts";
import { EmbeddedRegistry } from "#images/registry/embedded-registry.ts";
import { announcedHosts } from "#images/registry/hosts.ts";

/** A function by its place. */
export type FunctionName = { readonly namespace: string; readonly name: string };

/** Of one cluster; nothing is opened before it is asked. */
export class KeptImages {
  readonly #cluster: string;
  readonly #imageStore: string;
  readonly #clock: Clock;

  constructor(options: { readonly cluster: string; readonly imageStore: string; readonly clock: Clock }) {
    this.#cluster = options.cluster;
    this.#imageStore = options.imageStore;
    this.#clock = options.clock;
  }

  /** Functions of which there is something. */
  async list(): Promise<readonly FunctionName[]> {
    const { registry } = this.#open();
    const found = new Map<string, FunctionName>();
    for (const repository of await registry.catalog()) {
      const [root, cluster, namespace, name] = repository.split("/");
      if (root !== "functions" || cluster !== this.#cluster || namespace === undefined || name === undefined) continue;
      found.set(`${namespace}/${name}`, { namespace, name });
    }
    return [...found.values()];
  }

  /** Removes all of a function. Unknown is success. */
  async remove({ namespace, name }: FunctionName): Promise<void> {
    const { registry, store } = this.#open();
    const host = (await announcedHosts(this.#imageStore, this.#cluster))?.address;
    const repository = `functions/${this.#cluster}/${namespace}/${name}`;
    for (const one of [repository, `${repository}/source`]) {
      const kept = registry.repository(one);
      for (const digest of await kept.manifests()) {
        await registry.removeManifest(kept, digest);
        if (host !== undefined) await store.remove(`${host}/${one}@${digest}`);
      }
    }
    await registry.collectGarbage();
  }

  #open(): { readonly registry: EmbeddedRegistry; readonly store: ImageStore } {
    const store = new ImageStore({ folder: this.#imageStore, clock: this.#clock });
    return { store, registry: new EmbeddedRegistry({ store }) };
  }
}
