/**
 * The images of this machine, shared by all clusters and nodes on it: blobs by content, layers unpacked once, and one record per image with its names.
 *
 *     blobs/sha256/HEX     manifests, configurations, layers as they came
 *     layers/SHORT/        a layer, unpacked; SHORT is the start of its chain id (short, because of mount's page of options)
 *     images/HEX.json      what an image is made of and how it is called
 *     uses/HEX/KEY         who needs the image: a path that exists as long as it is needed
 *     tmp/                 work in progress; whatever is older than the boot or an hour is left over
 */
import { createHash, randomBytes } from "node:crypto";
import { closeSync, existsSync, openSync, statSync } from "node:fs";
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Clock } from "#component-base/clock.ts";
import { ifThere, isMissing } from "#component-base/missing-file.ts";
import type { SpecialFiles } from "./special-files.ts";
import { BlobStore } from "./blobs.ts";
import { decompress } from "./compression.ts";
import { type ImageConfig, InvalidImage, type ImageManifest, isIndex, parseDocument, parseImageConfig } from "./oci.ts";
import { formatReference, InvalidReference, parseReference } from "./reference.ts";
import { unpackLayer } from "./unpack.ts";

/** An image, ready to be run. */
export type StoredImage = {
  /** "sha256:…" of its configuration. */
  readonly id: string;
  /** Full names: "docker.io/library/nginx:latest". */
  readonly tags: readonly string[];
  /** "docker.io/library/nginx@sha256:…". */
  readonly digests: readonly string[];
  readonly manifestDigest: string;
  readonly blobs: readonly string[];
  /** Names of folders in `layersFolder`, lowest first. */
  readonly layers: readonly string[];
  readonly sizeBytes: number;
  readonly config: ImageConfig;
  /** When it came, ms since 1970. */
  readonly createdMs: number;
  /** True for what somebody brought to this machine by hand, under whichever names. */
  readonly isLoaded?: boolean;
};

/** Name of an image that is to be stored. */
export type ImageNames = { readonly tag?: string; readonly digest?: string; readonly isLoaded?: boolean };

const shortLength = 16;
const leftOverMs = 3_600_000;
const settledNs = 50_000_000n;
const lockRetryMs = 5;

/** `folder` is the whole store's. `specialFiles` is needed for layers with whiteouts and devices. */
export class ImageStore {
  readonly folder: string;
  readonly layersFolder: string;
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly #specialFiles: SpecialFiles | undefined;
  #last: Promise<void> = Promise.resolve();
  readonly #unpacking = new Map<string, Promise<void>>();
  #listed: { readonly changed: bigint; readonly images: readonly StoredImage[] } | undefined;

  constructor(options: {
    readonly folder: string;
    readonly clock: Clock;
    readonly specialFiles?: SpecialFiles | undefined;
  }) {
    this.folder = options.folder;
    this.layersFolder = join(options.folder, "layers");
    this.blobs = new BlobStore({ folder: join(options.folder, "blobs"), temporary: this.temporaryFolder });
    this.clock = options.clock;
    this.#specialFiles = options.specialFiles;
  }

  get temporaryFolder(): string {
    return join(this.folder, "tmp");
  }

  /** Makes the folders and removes what a crash left. */
  async open(): Promise<void> {
    const folders = ["blobs/sha256", "layers", "images", "uses", "tmp"];
    for (const name of folders) await mkdir(join(this.folder, name), { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.temporaryFolder)) {
      const path = join(this.temporaryFolder, name);
      if (await this.#isOld(path)) await rm(path, { recursive: true, force: true });
    }
  }

  /** Removes blobs and layers that belong to no image and have not been touched for an hour: what given-up pulls left for the next try. */
  async collectGarbage(): Promise<void> {
    await this.#exclusively(async () => {
      const images = await this.list();
      const blobs = new Set(images.flatMap((image) => image.blobs));
      const layers = new Set(images.flatMap((image) => image.layers));
      for (const digest of await this.blobs.list())
        if (!blobs.has(digest) && (await this.#isOld(this.blobs.path(digest)))) await this.#discardBlob(digest);
      for (const layer of await readdir(this.layersFolder))
        if (!layers.has(layer) && (await this.#isOld(join(this.layersFolder, layer), "ctimeMs")))
          await this.#discardLayer(layer);
    });
  }

  async list(): Promise<readonly StoredImage[]> {
    const folder = join(this.folder, "images");
    // Each start of a pod asks: the records are read again only when the folder has changed. One call into the kernel, no trip through the thread pool.
    const changed = statSync(folder, { bigint: true }).mtimeNs;
    if (this.#listed?.changed === changed) return this.#listed.images;
    const names = await readdir(folder);
    const all = await Promise.all(names.filter((name) => name.endsWith(".json")).map((name) => this.#readRecord(name)));
    const images = all.filter((image) => image !== undefined);
    // The kernel's stamps are some milliseconds coarse: a folder that changed just now may change again unseen.
    const isSettled = BigInt(Date.now()) * 1_000_000n - changed > settledNs;
    this.#listed = isSettled ? { changed, images } : undefined;
    return images;
  }

  /** By name, by digest or by id (whole or its first 12 and more digits). */
  async find(reference: string): Promise<StoredImage | undefined> {
    const direct = reference.replace(/^sha256:/, "");
    if (/^[0-9a-f]{64}$/.test(direct)) return this.#readRecord(`${direct}.json`);
    const wanted = fullName(reference);
    const images = await this.list();
    return images.find(
      (image) => wanted !== undefined && (image.tags.includes(wanted) || image.digests.includes(wanted)),
    );
  }

  /** Makes an image of a manifest whose blobs are all here: unpacks what is not unpacked yet and notes its names. A tag leaves the image that had it. */
  async add(manifestDigest: string, names: ImageNames, signal?: AbortSignal): Promise<StoredImage> {
    const manifest = parseDocument(await this.blobs.read(manifestDigest), manifestDigest);
    if (isIndex(manifest)) throw new InvalidImage(`${manifestDigest} is an index, not a manifest`);
    const config = parseImageConfig(await this.blobs.read(manifest.config.digest), manifest.config.digest);
    const layers = await this.#unpackAll(manifest, config, signal);
    return this.#exclusively(async () => {
      // Layers that nobody named yet may have been collected as garbage by another process meanwhile.
      await this.#unpackAll(manifest, config, signal);
      const before = await this.#readRecord(recordName(manifest.config.digest));
      const image: StoredImage = {
        id: manifest.config.digest,
        tags: union(before?.tags, names.tag),
        digests: union(before?.digests, names.digest),
        manifestDigest,
        blobs: union([
          ...(before?.blobs ?? []),
          manifestDigest,
          manifest.config.digest,
          ...manifest.layers.map((layer) => layer.digest),
        ]),
        layers,
        sizeBytes: [manifest.config, ...manifest.layers].reduce((sum, blob) => sum + (blob.size ?? 0), 0),
        config,
        createdMs: before?.createdMs ?? this.clock.now(),
        ...(before?.isLoaded === true || names.isLoaded === true ? { isLoaded: true } : {}),
      };
      await this.#writeRecord(image);
      if (names.tag) await this.#takeTagFromOthers(names.tag, image.id);
      return image;
    });
  }

  /** A folder to work in; the caller removes it. */
  async makeTemporaryFolder(): Promise<string> {
    const path = join(this.temporaryFolder, randomBytes(8).toString("hex"));
    await mkdir(path, { mode: 0o700 });
    return path;
  }

  /** Says that an image is needed while `path` exists. `key` names the user. */
  async hold(id: string, key: string, path: string): Promise<void> {
    const folder = join(this.folder, "uses", hexOf(id));
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, key), path);
  }

  async release(id: string, key: string): Promise<void> {
    await rm(join(this.folder, "uses", hexOf(id), key), { force: true });
  }

  /** Whether something on this machine needs the image. Notes whose path is gone are removed. */
  async isHeld(id: string): Promise<boolean> {
    const folder = join(this.folder, "uses", hexOf(id));
    for (const key of await ifThere(readdir(folder), [])) {
      const path = await ifThere(readFile(join(folder, key), "utf8"), "");
      if (path !== "" && existsSync(path)) return true;
      await rm(join(folder, key), { force: true });
    }
    return false;
  }

  /** Forgets a name; with its last name, or by id, the image goes, and with it what no other image needs. Gives false, and does nothing, while it is held. */
  async remove(reference: string): Promise<boolean> {
    return this.#exclusively(async () => {
      const image = await this.find(reference);
      if (!image) return true;
      const name = fullName(reference);
      const tags = image.tags.filter((tag) => tag !== name);
      if (name !== undefined && image.tags.includes(name) && tags.length > 0) {
        await this.#writeRecord({ ...image, tags });
        return true;
      }
      if (await this.isHeld(image.id)) return false;
      await rm(join(this.folder, "images", recordName(image.id)), { force: true });
      await rm(join(this.folder, "uses", hexOf(image.id)), { recursive: true, force: true });
      await this.#removeUnneeded(image);
      return true;
    });
  }

  /** Removes blobs that no image is made of and that have no name but ours, however young they are. */
  async discardBlobs(digests: readonly string[]): Promise<void> {
    await this.#exclusively(async () => {
      const needed = new Set((await this.list()).flatMap((image) => image.blobs));
      for (const digest of digests) if (!needed.has(digest)) await this.#discardBlob(digest);
    });
  }

  // A layer's own mtime comes from its archive; when it was put here is its ctime.
  async #isOld(path: string, field: "mtimeMs" | "ctimeMs" = "mtimeMs"): Promise<boolean> {
    const stats = await ifThere(stat(path), undefined);
    return this.clock.now() - (stats?.[field] ?? 0) > leftOverMs;
  }

  async #removeUnneeded(image: StoredImage): Promise<void> {
    const others = await this.list();
    const blobs = new Set(others.flatMap((other) => other.blobs));
    const layers = new Set(others.flatMap((other) => other.layers));
    for (const digest of image.blobs) if (!blobs.has(digest)) await this.#discardBlob(digest);
    for (const layer of image.layers) if (!layers.has(layer)) await this.#discardLayer(layer);
  }

  // Others are served while it is linked by nothing but its name here: the registry's repositories have links of their own.
  async #discardBlob(digest: string): Promise<void> {
    if (!(await this.blobs.isLinked(digest))) await this.blobs.remove(digest);
  }

  // Renamed first: a half-removed layer must not be taken for a whole one.
  async #discardLayer(layer: string): Promise<void> {
    const doomed = join(this.temporaryFolder, `gone-${layer}-${randomBytes(4).toString("hex")}`);
    await ifThere(rename(join(this.layersFolder, layer), doomed), undefined);
    await rm(doomed, { recursive: true, force: true });
  }

  async #unpackAll(manifest: ImageManifest, config: ImageConfig, signal?: AbortSignal): Promise<string[]> {
    const diffIds = config.rootfs.diff_ids;
    if (diffIds.length !== manifest.layers.length)
      throw new InvalidImage(`the manifest has ${manifest.layers.length} layers, the configuration ${diffIds.length}`);
    const layers: string[] = [];
    let chain = "";
    for (const [index, diffId] of diffIds.entries()) {
      chain = chain === "" ? diffId : `sha256:${createHash("sha256").update(`${chain} ${diffId}`).digest("hex")}`;
      const name = hexOf(chain).slice(0, shortLength);
      await this.#unpackOnce(name, manifest.layers[index]?.digest ?? "", diffId, layers, signal);
      layers.push(name);
    }
    return layers;
  }

  async #unpackOnce(
    name: string,
    blob: string,
    diffId: string,
    lower: readonly string[],
    signal?: AbortSignal,
  ): Promise<void> {
    if (existsSync(join(this.layersFolder, name))) return;
    const running = this.#unpacking.get(name) ?? this.#unpack(name, blob, diffId, lower, signal);
    this.#unpacking.set(name, running);
    try {
      await running;
    } finally {
      this.#unpacking.delete(name);
    }
  }

  async #unpack(
    name: string,
    blob: string,
    diffId: string,
    lower: readonly string[],
    signal?: AbortSignal,
  ): Promise<void> {
    const work = await this.makeTemporaryFolder();
    try {
      const root = join(work, "root");
      await mkdir(root);
      await chmod(root, 0o755);
      const hash = createHash("sha256");
      const plain = await decompress(this.blobs.open(blob));
      const counted = new Transform({
        highWaterMark: 1 << 18,
        transform(chunk: Buffer, _, done) {
          hash.update(chunk);
          done(null, chunk);
        },
      });
      const moving = pipeline(plain, counted, { signal });
      const lowerFolders = [...lower].reverse().map((layer) => join(this.layersFolder, layer));
      await Promise.all([
        moving,
        unpackLayer({ archive: counted, root, lower: lowerFolders, specialFiles: this.#specialFiles, signal }),
      ]);
      const actual = `sha256:${hash.digest("hex")}`;
      if (actual !== diffId) throw new InvalidImage(`layer ${blob} unpacks to ${actual} instead of ${diffId}`);
      await rename(root, join(this.layersFolder, name)).catch((error: NodeJS.ErrnoException) => {
        // Another process was quicker with the same layer.
        if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
      });
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }

  async #takeTagFromOthers(tag: string, owner: string): Promise<void> {
    for (const image of await this.list()) {
      if (image.id === owner || !image.tags.includes(tag)) continue;
      await this.#writeRecord({ ...image, tags: image.tags.filter((other) => other !== tag) });
    }
  }

  async #readRecord(name: string): Promise<StoredImage | undefined> {
    try {
      return JSON.parse(await readFile(join(this.folder, "images", name), "utf8")) as StoredImage;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async #writeRecord(image: StoredImage): Promise<void> {
    const part = join(this.temporaryFolder, randomBytes(8).toString("hex"));
    await writeFile(part, JSON.stringify(image), { flush: true });
    await rename(part, join(this.folder, "images", recordName(image.id)));
  }

  // Records are read, changed and written back: one at a time, in this process and among all.
  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last = promise;
    await before;
    const lock = openSync(join(this.folder, "lock"), "a", 0o600);
    try {
      while (this.#specialFiles && !this.#specialFiles.tryLock(lock)) await this.clock.sleep(lockRetryMs);
      return await work();
    } finally {
      closeSync(lock);
      resolve();
    }
  }
}

function union(values: readonly string[] = [], value?: string): string[] {
  return [...new Set(value === undefined ? values : [...values, value])];
}

function hexOf(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1);
}

function recordName(id: string): string {
  return `${hexOf(id)}.json`;
}

function fullName(reference: string): string | undefined {
  try {
    return formatReference(parseReference(reference));
  } catch (error) {
    if (error instanceof InvalidReference) return undefined;
    throw error;
  }
}
