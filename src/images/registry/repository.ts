/**
 * One repository on disk: what it has, as links to the files of the blob store, and what its tags mean. A blob is in as many repositories as there are links to its file, so
 * that the file system counts who needs it; nobody has to.
 *
 *     _blobs/ALGORITHM/HEX          configurations and layers that were pushed here
 *     _manifests/ALGORITHM/HEX      manifests and indexes
 *     _tags/TAG                     the digest that the tag means
 *     _referrers/ALGORITHM-HEX/…    descriptors of the manifests that are about the one with this digest
 *     _uploads/ID                   what has come of an upload so far
 */
import { readdir, readFile, rm, rmdir, stat, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Descriptor } from "#images/oci.ts";
import { linkDurably, syncFolder, writeDurably } from "./durable-files.ts";
import { isTag } from "./names.ts";

type Section = "_blobs" | "_manifests";

/** Name and digests were checked: they become paths. */
export class Repository {
  readonly name: string;
  readonly folder: string;
  readonly #temporary: string;

  constructor(options: { readonly name: string; readonly folder: string; readonly temporary: string }) {
    this.name = options.name;
    this.folder = options.folder;
    this.#temporary = options.temporary;
  }

  get uploads(): string {
    return join(this.folder, "_uploads");
  }

  blobPath(digest: string): string {
    return this.#path("_blobs", digest);
  }

  manifestPath(digest: string): string {
    return this.#path("_manifests", digest);
  }

  /** Size in bytes; undefined for one that is not here. */
  async findBlob(digest: string): Promise<number | undefined> {
    return (await stat(this.blobPath(digest)).catch(undefinedIfAbsent))?.size;
  }

  /** A blob that somebody asked for counts as just come. */
  async touchBlob(digest: string): Promise<void> {
    const now = new Date();
    await utimes(this.blobPath(digest), now, now).catch(undefinedIfAbsent);
  }

  /** When it came or was last asked for, ms since 1970. */
  async blobTimeMs(digest: string): Promise<number | undefined> {
    return (await stat(this.blobPath(digest)).catch(undefinedIfAbsent))?.mtimeMs;
  }

  async readManifest(digest: string): Promise<Buffer | undefined> {
    return readFile(this.manifestPath(digest)).catch(undefinedIfAbsent);
  }

  async hasManifest(digest: string): Promise<boolean> {
    return (await stat(this.manifestPath(digest)).catch(undefinedIfAbsent)) !== undefined;
  }

  /** `file` is on the disk already. */
  async linkBlob(digest: string, file: string): Promise<void> {
    await linkDurably(file, this.blobPath(digest), this.#temporary);
  }

  async linkManifest(digest: string, file: string): Promise<void> {
    await linkDurably(file, this.manifestPath(digest), this.#temporary);
  }

  /** False when it was not here. */
  async removeBlob(digest: string): Promise<boolean> {
    return removeDurably(this.blobPath(digest));
  }

  async removeManifest(digest: string): Promise<boolean> {
    return removeDurably(this.manifestPath(digest));
  }

  /** The digest that a tag means; what cannot be a tag means none. */
  async findTag(tag: string): Promise<string | undefined> {
    return isTag(tag) ? readFile(this.#tagPath(tag), "utf8").catch(undefinedIfAbsent) : undefined;
  }

  async setTag(tag: string, digest: string): Promise<void> {
    await writeDurably(this.#tagPath(tag), digest, this.#temporary);
  }

  async removeTag(tag: string): Promise<boolean> {
    return isTag(tag) && removeDurably(this.#tagPath(tag));
  }

  /** In the order of their characters, as the specification wants them. */
  async tags(): Promise<readonly string[]> {
    return (await namesIn(join(this.folder, "_tags"))).sort();
  }

  async blobs(): Promise<readonly string[]> {
    return this.#digests("_blobs");
  }

  async manifests(): Promise<readonly string[]> {
    return this.#digests("_manifests");
  }

  async addReferrer(subject: string, referrer: Descriptor): Promise<void> {
    const path = join(this.#referrersFolder(subject), fileNameOf(referrer.digest));
    await writeDurably(path, JSON.stringify(referrer), this.#temporary);
  }

  async removeReferrer(subject: string, digest: string): Promise<void> {
    await removeDurably(join(this.#referrersFolder(subject), fileNameOf(digest)));
  }

  async referrers(subject: string): Promise<readonly Descriptor[]> {
    const folder = this.#referrersFolder(subject);
    const texts = (await namesIn(folder))
      .sort()
      .map((name) => readFile(join(folder, name), "utf8").catch(undefinedIfAbsent));
    const found = (await Promise.all(texts)).filter((text) => text !== undefined);
    return found.map((text) => JSON.parse(text) as Descriptor);
  }

  /** Whether it has any manifest. */
  async exists(): Promise<boolean> {
    return (await this.manifests()).length > 0;
  }

  /** When its newest tag was set, ms since 1970. */
  async taggedMs(): Promise<number | undefined> {
    const times = (await this.tags()).map((tag) => stat(this.#tagPath(tag)).catch(undefinedIfAbsent));
    const known = (await Promise.all(times)).flatMap((found) => (found ? [found.mtimeMs] : []));
    return known.length === 0 ? undefined : Math.max(...known);
  }

  /** Removes all of it, but no repository whose name begins with its own. */
  async removeAll(root: string): Promise<void> {
    // Names first: nobody finds a manifest whose blobs are going.
    for (const section of ["_tags", "_manifests", "_referrers", "_blobs", "_uploads"])
      await rm(join(this.folder, section), { recursive: true, force: true });
    await this.removeIfEmpty(root);
  }

  /** Folders that hold nothing go, up to `root`. Never removes what somebody puts there meanwhile: the kernel refuses. */
  async removeIfEmpty(root: string): Promise<void> {
    for (const section of ["_blobs", "_manifests", "_referrers"]) {
      for (const name of await namesIn(join(this.folder, section))) await tryRmdir(join(this.folder, section, name));
      await tryRmdir(join(this.folder, section));
    }
    for (const section of ["_tags", "_uploads"]) await tryRmdir(join(this.folder, section));
    for (let folder = this.folder; folder.startsWith(`${root}/`); folder = dirname(folder))
      if (!(await tryRmdir(folder))) return;
  }

  #path(section: Section, digest: string): string {
    const [algorithm = "", hex = ""] = digest.split(":");
    return join(this.folder, section, algorithm, hex);
  }

  #tagPath(tag: string): string {
    return join(this.folder, "_tags", tag);
  }

  #referrersFolder(subject: string): string {
    return join(this.folder, "_referrers", fileNameOf(subject));
  }

  async #digests(section: Section): Promise<readonly string[]> {
    const folder = join(this.folder, section);
    const perAlgorithm = (await namesIn(folder)).map(async (algorithm) =>
      (await namesIn(join(folder, algorithm))).map((hex) => `${algorithm}:${hex}`),
    );
    return (await Promise.all(perAlgorithm)).flat();
  }
}

/** Names in a folder; none where there is no folder. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(undefinedIfAbsent)) ?? [];
}

function undefinedIfAbsent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
}

function fileNameOf(digest: string): string {
  return digest.replace(":", "-");
}

async function removeDurably(path: string): Promise<boolean> {
  const wasThere = await rm(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => undefinedIfAbsent(error) ?? false,
  );
  if (wasThere) await syncFolder(dirname(path));
  return wasThere;
}

async function tryRmdir(folder: string): Promise<boolean> {
  return rmdir(folder).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code === "ENOENT",
  );
}
