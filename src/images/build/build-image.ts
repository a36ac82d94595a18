/**
 * Makes an image of files, without a container engine: layers laid onto a base image or onto nothing. Its blobs are in the machine's store then; who wants to keep it gives it
 * a name there or pushes it somewhere. The same input gives the same digest.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Credential } from "#images/credentials.ts";
import { digestOf } from "#images/blobs.ts";
import type { ImageStore, StoredImage } from "#images/image-store.ts";
import { type LayerCompression, type LayerContent, writeLayer, type WrittenLayer } from "#images/layer-writer.ts";
import { addNamedImage } from "#images/load.ts";
import {
  hostPlatform,
  type ImageConfig,
  type ImageManifest,
  InvalidImage,
  isIndex,
  mediaTypes,
  parseDocument,
  parseImageConfig,
} from "#images/oci.ts";
import type { ImagePuller } from "#images/pull.ts";
import { type ConfigChanges, mergeConfig } from "./image-config.ts";

/** What is to be built. */
export type ImageBuild = {
  /** Name of the image below: one of this machine, else it is pulled. Absent: nothing is below, as for bundles of isolates. */
  readonly base?: string | undefined;
  /** Lowest first. */
  readonly layers: readonly LayerContent[];
  readonly config?: ConfigChanges;
  /** Of the manifest. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** What the new layers become. Default gzip, which everything reads. */
  readonly compression?: LayerCompression;
  /** What the image says of when it was made, ms since 1970. Default 0, because another time makes another digest. */
  readonly createdMs?: number;
  /** A name that the image gets in the machine's store: it runs under it at once. Absent: it has none, and goes after an hour unless it is pushed or added. */
  readonly name?: string;
};

/** What is needed for building. */
export type BuildParts = {
  readonly store: ImageStore;
  /** For bases that are not here. Absent: they fail. */
  readonly puller?: ImagePuller | undefined;
  /** For pulling the base. */
  readonly credentials?: readonly Credential[];
};

/** An image that was built. */
export type BuiltImage = {
  /** Of the manifest: "sha256:…". */
  readonly digest: string;
  /** Of the configuration; the image's id. */
  readonly id: string;
  readonly manifest: ImageManifest;
  /** All layers and the configuration, as they are stored. */
  readonly sizeBytes: number;
};

/** Builds it. Throws {@link InvalidImage}, and what pulling throws. */
export async function buildImage(parts: BuildParts, build: ImageBuild, signal?: AbortSignal): Promise<BuiltImage> {
  const { store } = parts;
  const base = build.base === undefined ? undefined : await findBase(parts, build.base, signal);
  const below = base && (await readBase(store, base));
  const layers: WrittenLayer[] = [];
  for (const content of build.layers)
    layers.push(await storeLayer(store, content, build.compression ?? "gzip", signal));
  const config = jsonBytes(configOf(build, below?.config, layers));
  const configBlob = { mediaType: mediaTypes.config, digest: digestOf(config), size: config.length };
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: configBlob,
    layers: [...(below?.manifest.layers ?? []), ...layers.map(({ descriptor }) => descriptor)],
    ...(build.annotations && { annotations: build.annotations }),
  };
  const bytes = jsonBytes(manifest);
  const digest = digestOf(bytes);
  await store.blobs.writeBytes(configBlob.digest, config);
  await store.blobs.writeBytes(digest, bytes);
  if (build.name !== undefined) await addNamedImage(store, digest, build.name, signal);
  return builtImage(digest, manifest);
}

/** What is said of an image that was built. */
export function builtImage(digest: string, manifest: ImageManifest): BuiltImage {
  const sizeBytes = [manifest.config, ...manifest.layers].reduce((sum, { size }) => sum + size, 0);
  return { digest, id: manifest.config.digest, manifest, sizeBytes };
}

async function findBase(
  { store, puller, credentials = [] }: BuildParts,
  name: string,
  signal?: AbortSignal,
): Promise<StoredImage> {
  const known = await store.find(name);
  if (known) return known;
  if (!puller) throw new InvalidImage(`the base image ${name} is not on this machine`);
  return puller.pull(name, credentials, signal ?? new AbortController().signal);
}

async function readBase(
  { blobs }: ImageStore,
  { manifestDigest }: StoredImage,
): Promise<{ readonly manifest: ImageManifest; readonly config: ImageConfig }> {
  const manifest = parseDocument(await blobs.read(manifestDigest), manifestDigest);
  if (isIndex(manifest)) throw new InvalidImage(`${manifestDigest} is an index, not a manifest`);
  const { digest } = manifest.config;
  return { manifest, config: parseImageConfig(await blobs.read(digest), digest) };
}

async function storeLayer(
  store: ImageStore,
  content: LayerContent,
  compression: LayerCompression,
  signal?: AbortSignal,
): Promise<WrittenLayer> {
  const work = await store.makeTemporaryFolder();
  try {
    const file = join(work, "layer");
    const layer = await writeLayer(file, content, { compression, signal });
    await store.blobs.adoptFile(layer.descriptor.digest, file);
    return layer;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function configOf(build: ImageBuild, base: ImageConfig | undefined, layers: readonly WrittenLayer[]): ImageConfig {
  const created = new Date(build.createdMs ?? 0).toISOString().replace(".000Z", "Z");
  const added = layers.map(() => ({ created, created_by: "nodeless" }));
  // One that does not speak of all layers is refused by other builders.
  const before = base?.history ?? (base?.rootfs.diff_ids ?? []).map(() => ({ created }));
  return {
    ...(base ?? hostPlatform()),
    created,
    config: mergeConfig(base?.config, build.config ?? {}),
    rootfs: { type: "layers", diff_ids: [...(base?.rootfs.diff_ids ?? []), ...layers.map(({ diffId }) => diffId)] },
    history: [...before, ...added],
  };
}

function jsonBytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
