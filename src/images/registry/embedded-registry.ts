/**
 * The registry of this machine: repositories in a folder beside the blob store, sharing its files. Every process that has the folder may read it and write to it: the servers of
 * all clusters, nodes that look for an image, commands that put one there. What was written is on the disk before anybody is told.
 *
 *     registry/repositories/NAME/   see repository.ts
 *     registry/hosts/               see hosts.ts
 *     registry/lock                 for what reads and then writes
 */
import { join } from "node:path";
import { digestOf } from "#images/blobs.ts";
import type { ImageStore } from "#images/image-store.ts";
import type { Descriptor } from "#images/oci.ts";
import { lockFile } from "#linux/file-lock.ts";
import { parseManifest, type PushedManifest, referrerOf } from "./manifests.ts";
import { algorithmOf, checkRepository, looksLikeDigest } from "./names.ts";
import { RegistryFault } from "./registry-fault.ts";
import { namesIn, Repository } from "./repository.ts";
import { type UploadLimits, Uploads } from "./uploads.ts";

/** What was stored under a reference. */
export type StoredManifest = { readonly digest: string; readonly mediaType: string; readonly bytes: Buffer };

/** Blobs that no manifest of their repository names stay this long: somebody may be about to push one. */
const orphanMs = 3_600_000;

/** `store` is the machine's. Nothing is read or made before it is first used. */
export class EmbeddedRegistry {
  readonly uploads: Uploads;
  readonly #store: ImageStore;
  readonly #folder: string;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: { readonly store: ImageStore; readonly limits?: UploadLimits }) {
    this.#store = options.store;
    this.#folder = join(options.store.folder, "registry");
    this.uploads = new Uploads({ clock: options.store.clock, ...(options.limits && { limits: options.limits }) });
  }

  /** Throws {@link RegistryFault} for a name that cannot be one. */
  repository(name: string): Repository {
    return new Repository({
      name,
      folder: join(this.#repositories, checkRepository(name)),
      temporary: this.#store.temporaryFolder,
    });
  }

  /** Names of repositories that have something, sorted. */
  async catalog(): Promise<readonly string[]> {
    const found: string[] = [];
    const walk = async (name: string): Promise<void> => {
      const names = await namesIn(join(this.#repositories, name));
      if (names.includes("_manifests") && (await this.repository(name).exists())) found.push(name);
      for (const child of names) if (!child.startsWith("_")) await walk(name === "" ? child : `${name}/${child}`);
    };
    await walk("");
    return found.sort();
  }

  /** Makes an uploaded file a blob of the repository. It must be on the disk, and is checked. */
  async keepBlob(repository: Repository, digest: string, file: string): Promise<void> {
    const { blobs } = this.#store;
    await blobs.adoptFile(digest, file);
    // One file for all who need it. Gone again only when the store was cleaned up meanwhile.
    await repository.linkBlob(digest, blobs.path(digest)).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      await repository.linkBlob(digest, file);
    });
  }

  /** Gives a repository a blob of another one. False when it is not there. */
  async mountBlob(repository: Repository, digest: string, from: Repository): Promise<boolean> {
    await from.touchBlob(digest);
    if ((await from.findBlob(digest)) === undefined) return false;
    await repository.linkBlob(digest, from.blobPath(digest));
    return true;
  }

  /** Keeps a manifest all of whose parts are here, and lets `tag` mean it. Throws {@link RegistryFault}. */
  async putManifest(
    repository: Repository,
    pushed: {
      readonly digest: string;
      readonly bytes: Buffer;
      readonly tag: string | undefined;
      /** What the client called it; it must not say something else itself. */
      readonly mediaType?: string | undefined;
    },
  ): Promise<PushedManifest> {
    const { digest, bytes, tag, mediaType } = pushed;
    const manifest = parseManifest(bytes, mediaType);
    await this.#exclusively(async () => {
      await refuseMissing(repository, manifest);
      await this.#store.blobs.writeBytes(digest, bytes);
      await repository.linkManifest(digest, this.#store.blobs.path(digest));
      if (manifest.subject !== undefined)
        await repository.addReferrer(manifest.subject, referrerOf(manifest, digest, bytes.length));
      if (tag !== undefined) await repository.setTag(tag, digest);
    });
    return manifest;
  }

  /** By tag or digest. */
  async findManifest(repository: Repository, reference: string): Promise<StoredManifest | undefined> {
    const digest = looksLikeDigest(reference) ? reference : await repository.findTag(reference);
    const bytes = digest === undefined ? undefined : await repository.readManifest(digest);
    if (digest === undefined || bytes === undefined) return undefined;
    return { digest, bytes, mediaType: parseManifest(bytes).mediaType };
  }

  /** Removes a tag, or with a digest a manifest and all its tags. False when it is not there. */
  async removeManifest(repository: Repository, reference: string): Promise<boolean> {
    return this.#exclusively(async () => {
      if (!looksLikeDigest(reference)) return repository.removeTag(reference);
      const bytes = await repository.readManifest(reference);
      if (bytes === undefined) return false;
      for (const tag of await repository.tags())
        if ((await repository.findTag(tag)) === reference) await repository.removeTag(tag);
      const { subject } = parseManifest(bytes);
      if (subject !== undefined) await repository.removeReferrer(subject, reference);
      return repository.removeManifest(reference);
    });
  }

  /** Removes a repository with all that is in it, also what is younger than garbage. Gives the digests of what it had; unknown is success. */
  async removeRepository(name: string): Promise<readonly string[]> {
    const repository = this.repository(name);
    return this.#exclusively(async () => {
      const had = [...(await repository.manifests()), ...(await repository.blobs())];
      await repository.removeAll(this.#repositories);
      return had;
    });
  }

  /** What is about the manifest with this digest, which need not be here. */
  async referrers(repository: Repository, digest: string): Promise<readonly Descriptor[]> {
    return repository.referrers(digest);
  }

  /** Puts an image of the store into the repository, without copying anything. Throws {@link RegistryFault} where a part of it is missing. */
  async publish(
    { repository: name, tag }: { readonly repository: string; readonly tag?: string | undefined },
    digest: string,
  ): Promise<void> {
    const { blobs } = this.#store;
    const repository = this.repository(name);
    const bytes = await blobs.read(digest).catch(() => {
      throw new RegistryFault("MANIFEST_UNKNOWN", `${digest} is not on this machine`);
    });
    const manifest = parseManifest(bytes);
    for (const child of manifest.manifests) await this.publish({ repository: name }, child);
    for (const blob of manifest.blobs) {
      const isInStore = await blobs.touch(blob);
      await repository.touchBlob(blob);
      if ((await repository.findBlob(blob)) !== undefined) continue;
      if (!isInStore) throw new RegistryFault("MANIFEST_BLOB_UNKNOWN", `${blob} is not on this machine`);
      await repository.linkBlob(blob, blobs.path(blob));
    }
    await this.putManifest(repository, { digest, bytes, tag });
  }

  /** Makes sure that the store has the repository's blob. False when the repository has none either. */
  async bringBlob(name: string, digest: string): Promise<boolean> {
    if (await this.#store.blobs.touch(digest)) return true;
    const repository = this.repository(name);
    if ((await repository.findBlob(digest)) === undefined) return false;
    await this.#store.blobs.adoptFile(digest, repository.blobPath(digest));
    return true;
  }

  /** Removes uploads that were given up, blobs that no manifest names any more, and repositories that are empty. */
  async collectGarbage(): Promise<void> {
    const walk = async (name: string): Promise<void> => {
      for (const child of await namesIn(join(this.#repositories, name)))
        if (!child.startsWith("_")) await walk(name === "" ? child : `${name}/${child}`);
      if (name === "") return;
      const repository = this.repository(name);
      await this.uploads.removeStale(repository);
      await this.#exclusively(() => this.#removeOrphans(repository));
      await repository.removeIfEmpty(this.#repositories);
    };
    await walk("");
  }

  async #removeOrphans(repository: Repository): Promise<void> {
    const blobs = await repository.blobs();
    if (blobs.length === 0) return;
    const needed = new Set<string>();
    for (const digest of await repository.manifests()) {
      const bytes = await repository.readManifest(digest);
      if (bytes) for (const blob of parseManifest(bytes).blobs) needed.add(blob);
    }
    for (const digest of blobs) {
      const age = this.#store.clock.now() - ((await repository.blobTimeMs(digest)) ?? this.#store.clock.now());
      if (!needed.has(digest) && age > orphanMs) await repository.removeBlob(digest);
    }
  }

  get #repositories(): string {
    return join(this.#folder, "repositories");
  }

  // One after another in this process, and then one of all processes.
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const run = async (): Promise<T> => {
      const lock = await lockFile(join(this.#folder, "lock"));
      try {
        return await work();
      } finally {
        lock.release();
      }
    };
    const result = this.#last.then(run, run);
    this.#last = result.catch(() => {}); // whoever asked is told
    return result;
  }
}

async function refuseMissing(repository: Repository, manifest: PushedManifest): Promise<void> {
  for (const digest of manifest.blobs)
    if ((await repository.findBlob(digest)) === undefined)
      throw new RegistryFault("MANIFEST_BLOB_UNKNOWN", `the repository has no blob ${digest}`);
  for (const digest of manifest.manifests)
    if (!(await repository.hasManifest(digest)))
      throw new RegistryFault("MANIFEST_BLOB_UNKNOWN", `the repository has no manifest ${digest}`);
}

/** The digest of a pushed manifest: by the algorithm that its reference names, else SHA-256. Throws {@link RegistryFault} where they differ. */
export function manifestDigest(reference: string, bytes: Buffer): string {
  const wanted = looksLikeDigest(reference) ? reference : undefined;
  const actual = digestOf(bytes, wanted === undefined ? "sha256" : algorithmOf(wanted));
  if (wanted !== undefined && wanted !== actual)
    throw new RegistryFault("DIGEST_INVALID", `the manifest has the digest ${actual}, not ${wanted}`);
  return actual;
}
