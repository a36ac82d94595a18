/**
 * Brings images into the store from files: OCI layouts (a folder or an archive of one, as `skopeo`, `buildah` and newer `docker save` write them) and Docker's
 * own archives, and bundles: plain folders of modules for isolates. Several loads may run at once.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, rm, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { decompress } from "./compression.ts";
import { digestOf } from "./blobs.ts";
import type { ImageStore, StoredImage } from "./image-store.ts";
import {
  choosePlatform,
  type Descriptor,
  hostPlatform,
  type ImageIndex,
  InvalidImage,
  isIndex,
  mediaTypes,
  parseDocument,
} from "./oci.ts";
import { writeLayout } from "./layout-writer.ts";
import { formatReference, parseReference } from "./reference.ts";
import { unpackLayer } from "./unpack.ts";

/** A folder with one of these is a bundle: modules for an isolate. */
export const bundleSigns: readonly string[] = ["index.js", "index.mjs", "index.ts", "worker.js", "package.json"];
/** Nobody: isolates never run as root, and pods that ask for that are to see it. */
export const bundleUser = "65534";

type DockerArchiveEntry = {
  readonly Config: string;
  readonly RepoTags?: readonly string[] | null;
  readonly Layers: readonly string[];
};

/** Loads all images of a layout folder or an archive. `name` is given to an image that brings none. Throws {@link InvalidImage}. */
export async function loadImages(
  store: ImageStore,
  path: string,
  options: { readonly name?: string; readonly signal?: AbortSignal } = {},
): Promise<StoredImage[]> {
  if ((await stat(path)).isDirectory()) return loadFolder(store, path, options);
  const folder = await store.makeTemporaryFolder();
  try {
    const archive = await decompress(createReadStream(path, { highWaterMark: 1 << 18 }));
    await unpackLayer({ archive, root: folder, signal: options.signal });
    return await loadFolder(store, folder, options);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Makes an image of a manifest whose blobs are all here, under a name that somebody chose for it; "latest" where he names no tag. */
export async function addNamedImage(
  store: ImageStore,
  manifestDigest: string,
  name: string,
  signal?: AbortSignal,
): Promise<StoredImage> {
  const tag = fullTag(name);
  const digest = `${tag.slice(0, tag.lastIndexOf(":"))}@${manifestDigest}`;
  return store.add(manifestDigest, { isLoaded: true, tag, digest }, signal);
}

async function loadFolder(
  store: ImageStore,
  folder: string,
  options: { readonly name?: string; readonly signal?: AbortSignal },
): Promise<StoredImage[]> {
  if (await exists(join(folder, "oci-layout"))) return loadLayout(store, folder, options);
  if (await exists(join(folder, "manifest.json"))) return loadDockerFolder(store, folder, options);
  if (await isBundle(folder)) return loadBundle(store, folder, options);
  throw new InvalidImage(
    `${folder} is neither an OCI layout nor a Docker archive nor a bundle (which has one of ${bundleSigns.join(", ")})`,
  );
}

// A bundle becomes an ordinary image of one layer, under the folder's own name if it is given none.
async function loadBundle(
  store: ImageStore,
  folder: string,
  options: { readonly name?: string; readonly signal?: AbortSignal },
): Promise<StoredImage[]> {
  const layout = await store.makeTemporaryFolder();
  try {
    const name = fullTag(options.name ?? basename(resolve(folder)).toLowerCase());
    await writeLayout(layout, { name, layers: [folder], config: { User: bundleUser } });
    return await loadLayout(store, layout, options);
  } finally {
    await rm(layout, { recursive: true, force: true });
  }
}

async function loadLayout(
  store: ImageStore,
  folder: string,
  options: { readonly name?: string; readonly signal?: AbortSignal },
): Promise<StoredImage[]> {
  const images: StoredImage[] = [];
  for (const entry of await layoutEntries(folder)) {
    const image = await loadManifest(store, folder, entry, nameOf(entry, options.name), options.signal);
    if (image) images.push(image);
  }
  if (images.length === 0) throw noImageIn();
  return images;
}

async function layoutEntries(folder: string): Promise<readonly Descriptor[]> {
  const index = parseDocument(await readFile(join(folder, "index.json")), "index.json");
  if (!isIndex(index)) throw new InvalidImage("index.json is no image index");
  return index.manifests;
}

function noImageIn(): InvalidImage {
  return new InvalidImage(`the layout has no image for ${hostPlatform().os}/${hostPlatform().architecture}`);
}

async function loadManifest(
  store: ImageStore,
  folder: string,
  entry: Descriptor,
  tag: string | undefined,
  signal: AbortSignal | undefined,
): Promise<StoredImage | undefined> {
  const digest = await storeManifest(store, folder, entry);
  if (digest === undefined) return undefined;
  return tag === undefined ? store.add(digest, { isLoaded: true }, signal) : addNamedImage(store, digest, tag, signal);
}

/** Stores the blobs of a layout's image, the first that fits this machine, and makes no image of it yet. Gives its manifest's digest. Throws {@link InvalidImage}. */
export async function storeLayout(store: ImageStore, folder: string): Promise<string> {
  for (const entry of await layoutEntries(folder)) {
    const digest = await storeManifest(store, folder, entry);
    if (digest !== undefined) return digest;
  }
  throw noImageIn();
}

// Undefined for an index that has nothing for this machine.
async function storeManifest(store: ImageStore, folder: string, entry: Descriptor): Promise<string | undefined> {
  const file = layoutBlob(folder, entry.digest);
  const bytes = await readFile(file);
  const document = parseDocument(bytes, entry.digest);
  if (isIndex(document)) {
    const chosen = choosePlatform(document as ImageIndex, hostPlatform());
    return chosen && storeManifest(store, folder, chosen);
  }
  await store.blobs.writeBytes(entry.digest, bytes);
  for (const blob of [document.config, ...document.layers])
    await store.blobs.addFile(blob.digest, layoutBlob(folder, blob.digest));
  return entry.digest;
}

async function loadDockerFolder(
  store: ImageStore,
  folder: string,
  options: { readonly name?: string; readonly signal?: AbortSignal },
): Promise<StoredImage[]> {
  const entries = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8")) as DockerArchiveEntry[];
  const images: StoredImage[] = [];
  for (const entry of entries) {
    const digest = await writeManifest(store, folder, entry);
    const tags = entry.RepoTags?.length ? entry.RepoTags : options.name ? [options.name] : [undefined];
    for (const tag of tags) {
      const names = { isLoaded: true, ...(tag === undefined ? {} : { tag: fullTag(tag) }) };
      const image = await store.add(digest, names, options.signal);
      if (tag === tags.at(-1)) images.push(image);
    }
  }
  return images;
}

// Docker's archives have no manifest in OCI's sense; one is made of what they have.
async function writeManifest(store: ImageStore, folder: string, entry: DockerArchiveEntry): Promise<string> {
  const config = await addFromArchive(store, join(folder, inside(entry.Config)), mediaTypes.config);
  const layers: Descriptor[] = [];
  for (const layer of entry.Layers)
    layers.push(await addFromArchive(store, join(folder, inside(layer)), mediaTypes.layer));
  const manifest = { schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers };
  const bytes = Buffer.from(JSON.stringify(manifest));
  await store.blobs.writeBytes(digestOf(bytes), bytes);
  return digestOf(bytes);
}

async function addFromArchive(store: ImageStore, file: string, mediaType: string): Promise<Descriptor> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file, { highWaterMark: 1 << 18 }), hash);
  const digest = `sha256:${hash.digest("hex")}`;
  await store.blobs.addFile(digest, file);
  return { mediaType, digest, size: (await stat(file)).size };
}

function nameOf(entry: Descriptor, given: string | undefined): string | undefined {
  const annotations = entry.annotations ?? {};
  const named = annotations["io.containerd.image.name"] ?? given ?? annotations["org.opencontainers.image.ref.name"];
  return named === undefined ? undefined : fullTag(named);
}

function fullTag(name: string): string {
  const { registry, repository, tag = "latest" } = parseReference(name);
  return formatReference({ registry, repository, tag });
}

function layoutBlob(folder: string, digest: string): string {
  const [algorithm = "", hex = ""] = digest.split(":");
  return join(folder, "blobs", algorithm, hex);
}

// Names in an archive come from strangers.
function inside(name: string): string {
  if (name.startsWith("/") || name.split("/").includes(".."))
    throw new InvalidImage(`the archive names a file outside of itself: ${name}`);
  return name;
}

/** Whether a folder is one of modules for an isolate. */
export async function isBundle(folder: string): Promise<boolean> {
  const signs = await Promise.all(bundleSigns.map((name) => exists(join(folder, name))));
  return signs.includes(true);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
