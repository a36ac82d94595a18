/**
 * The images and sources of functions in the machine's registry: which there are, and how they go when their function has gone. What a pod still runs on stays as long as it does.
 */
import type { Clock } from "#component-base/clock.ts";
import { ImageStore } from "#images/image-store.ts";
import { EmbeddedRegistry } from "#images/registry/embedded-registry.ts";
import { announcedHosts } from "#images/registry/hosts.ts";

/** A function by its place. */
export type FunctionName = { readonly namespace: string; readonly name: string };

/** "inUse": a container runs on it. "published": somebody has put something there since, perhaps for a function of the same name that is about to be made. */
export type Removal = "removed" | "inUse" | "published";

const root = "functions";

/** The cluster whose functions a repository is for; undefined for one that is not for functions. */
export function clusterOfRepository(repository: string): string | undefined {
  const [first, cluster, ...rest] = repository.split("/");
  return first === root && rest.length >= 2 ? cluster : undefined;
}

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
      const [, , namespace = "", name = ""] = repository.split("/");
      if (clusterOfRepository(repository) === this.#cluster) found.set(`${namespace}/${name}`, { namespace, name });
    }
    return [...found.values()];
  }

  /** Removes all of a function, unless something happened to it after `sinceMs`. Unknown is success. */
  async remove({ namespace, name }: FunctionName, sinceMs: number): Promise<Removal> {
    const parts = this.#open();
    const repository = `${root}/${this.#cluster}/${namespace}/${name}`;
    const all = [repository, `${repository}/source`];
    for (const one of all) if (((await parts.registry.repository(one).taggedMs()) ?? 0) > sinceMs) return "published";
    for (const one of all) for (const image of await this.#imagesOf(parts, one)) if (image.isHeld) return "inUse";
    for (const one of all) await this.#removeRepository(parts, one);
    return "removed";
  }

  /** Removes all of all functions: the cluster has gone, and so have its containers. */
  async removeAll(): Promise<void> {
    const parts = this.#open();
    for (const repository of await parts.registry.catalog())
      if (clusterOfRepository(repository) === this.#cluster) await this.#removeRepository(parts, repository);
  }

  async #removeRepository(parts: Parts, repository: string): Promise<void> {
    const images = await this.#imagesOf(parts, repository);
    const had = await parts.registry.removeRepository(repository);
    for (const { id } of images) await parts.store.remove(id);
    await parts.store.discardBlobs(had);
  }

  /** The repository's images in the store: not those that are somebody else's too, who has the same code. */
  async #imagesOf(
    { store }: Parts,
    repository: string,
  ): Promise<readonly { readonly id: string; readonly isHeld: boolean }[]> {
    const host = (await announcedHosts(this.#imageStore, this.#cluster))?.address;
    if (host === undefined) return [];
    const isOurs = (name: string) => /^[:@]/.test(name.slice(`${host}/${repository}`.length));
    // A machine that has no images yet has no store.
    const stored = await store.list().catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    const ours = stored.filter(({ tags, digests }) => {
      const names = [...tags, ...digests];
      return names.length > 0 && names.every((name) => name.startsWith(`${host}/${repository}`) && isOurs(name));
    });
    return await Promise.all(ours.map(async ({ id }) => ({ id, isHeld: await store.isHeld(id) })));
  }

  #open(): Parts {
    const store = new ImageStore({ folder: this.#imageStore, clock: this.#clock });
    return { store, registry: new EmbeddedRegistry({ store }) };
  }
}

type Parts = { readonly registry: EmbeddedRegistry; readonly store: ImageStore };
