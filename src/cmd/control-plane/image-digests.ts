/**
 * Which images revisions run: a tag of the machine's own registry is what it means there; what somebody loaded on this machine is what it is; a tag of a registry is asked for there, with the rights of the revision's pods. What was pulled before stands in for a
 * registry that cannot be reached.
 */
import type { Secret, ServiceAccount } from "#api/generated/types/core-v1.ts";
import type { Client } from "#client/client.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Credential } from "#images/credentials.ts";
import { ImageStore, type StoredImage } from "#images/image-store.ts";
import { parseReference } from "#images/reference.ts";
import { isOwnHost } from "#images/registry/hosts.ts";
import { RegistryError, type RegistrySettings } from "#images/registry-client.ts";
import { remoteDigest } from "#images/remote-digest.ts";
import { parseDockerSecret } from "#kubelet/engine/pull-credentials.ts";
import { inlineImage } from "#providers/isolates/inline-image.ts";
import type { ImageResolver, PullIdentity } from "#serving/revision/image-resolver.ts";

/** What it works with. */
export type ImageDigestsOptions = {
  readonly client: Client;
  /** The machine's store. */
  readonly imagesFolder: string;
  readonly settings: () => Promise<RegistrySettings>;
  readonly clock: Clock;
};

/** Resolves the images of a cluster's revisions. */
export class ImageDigests implements ImageResolver {
  readonly #options: ImageDigestsOptions;
  readonly #store: ImageStore;

  constructor(options: ImageDigestsOptions) {
    this.#options = options;
    this.#store = new ImageStore({ folder: options.imagesFolder, clock: options.clock });
  }

  async resolve(image: string, identity: PullIdentity, signal: AbortSignal): Promise<string | undefined> {
    const { registry, repository, tag } = parseReference(image);
    const name = `${registry}/${repository}`;
    if (inlineImage.tags.includes(`${image.replace(/:latest$/, "")}:latest`)) return undefined;
    const own = await this.#findOwn(registry, repository, tag ?? "latest");
    if (own !== undefined) return `${name}@${own}`;
    const stored = await this.#find(`${name}:${tag}`);
    const here = stored?.digests.find((digest) => digest.startsWith(`${name}@`));
    if (stored?.isLoaded === true) return here;
    try {
      const settings = await this.#options.settings();
      const credentials = await this.#credentials(identity, signal);
      return `${name}@${await remoteDigest(image, credentials, { settings, signal })}`;
    } catch (error) {
      if (here !== undefined && error instanceof RegistryError && error.reason === "unavailable") return here;
      throw error;
    }
  }

  async #findOwn(host: string, repository: string, tag: string): Promise<string | undefined> {
    if (!(await isOwnHost(this.#options.imagesFolder, host))) return undefined;
    const { EmbeddedRegistry } = await import("#images/registry/embedded-registry.ts");
    const registry = new EmbeddedRegistry({ store: this.#store });
    return (await registry.findManifest(registry.repository(repository), tag))?.digest;
  }

  /** A machine that has no images yet has no store. */
  async #find(name: string): Promise<StoredImage | undefined> {
    try {
      return await this.#store.find(name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Of the secrets that the revision names, and of those that its service account has. Secrets that are missing are no matter here: the node says so. */
  async #credentials(identity: PullIdentity, signal: AbortSignal): Promise<readonly Credential[]> {
    const { client } = this.#options;
    const { namespace, serviceAccountName, imagePullSecrets } = identity;
    const resource = (name: string) => ({ group: "", version: "v1", resource: name });
    // What cannot be had is not used: a registry that wants credentials says so.
    const account = await client
      .get<ServiceAccount>({ resource: resource("serviceaccounts"), namespace, name: serviceAccountName }, { signal })
      .catch(() => undefined);
    const ofAccount = (account?.imagePullSecrets ?? []).flatMap(({ name }) => (name ? [name] : []));
    const names = new Set([...imagePullSecrets, ...ofAccount]);
    const secrets = [...names].map((name) =>
      client
        .get<Secret>({ resource: resource("secrets"), namespace, name }, { signal })
        .then(({ data }) => (data === undefined ? [] : parseDockerSecret(data)))
        .catch(() => []),
    );
    return (await Promise.all(secrets)).flat();
  }
}
