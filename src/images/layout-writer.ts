/**
 * Writes an OCI layout of one image from a folder that is its root file system: for images that are built without an engine (tests, examples, functions). The same
 * folder gives the same digests: entries are sorted, times are set to one.
 */
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "./blobs.ts";
import { writeLayer } from "./layer-writer.ts";
import { type Descriptor, hostPlatform, type ImageConfig, mediaTypes } from "./oci.ts";

/** What goes into the layout. `layers`: folders, lowest first; all files belong to root unless `owners` says otherwise. */
export type LayoutContent = {
  readonly name: string;
  readonly layers: readonly string[];
  readonly config: NonNullable<ImageConfig["config"]>;
  /** Owner of a path without leading slash, and of all below it: { "var/lib/postgresql": { uid: 70, gid: 70 } }. */
  readonly owners?: Readonly<Record<string, { readonly uid: number; readonly gid: number }>>;
};

const created = "2026-01-01T00:00:00Z";

/** Writes the layout into `folder`. Gives the manifest's digest. */
export async function writeLayout(folder: string, content: LayoutContent): Promise<string> {
  const blobs = join(folder, "blobs", "sha256");
  await mkdir(blobs, { recursive: true });
  const layers = [];
  for (const layer of content.layers) layers.push(await addLayer(blobs, layer, content.owners));
  const diffIds = layers.map((layer) => layer.digest);
  const config = await writeJson(blobs, {
    ...hostPlatform(),
    created,
    config: content.config,
    rootfs: { type: "layers", diff_ids: diffIds },
    // Without one other builders lay nothing onto it.
    history: layers.map(() => ({ created, created_by: "nodeless" })),
  });
  const manifest = await writeJson(blobs, {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: mediaTypes.config, ...config },
    layers,
  });
  const annotations = { "io.containerd.image.name": content.name };
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: [{ mediaType: mediaTypes.manifest, ...manifest, annotations }],
  };
  await writeFile(join(folder, "index.json"), JSON.stringify(index));
  // Last: with it the layout counts as whole.
  await writeFile(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  return manifest.digest;
}

type Blob = { readonly digest: string; readonly size: number };

async function writeJson(blobs: string, value: unknown): Promise<Blob> {
  const bytes = Buffer.from(JSON.stringify(value));
  const digest = digestOf(bytes);
  await writeFile(join(blobs, digest.slice(7)), bytes);
  return { digest, size: bytes.length };
}

async function addLayer(blobs: string, folder: string, owners: LayoutContent["owners"] = {}): Promise<Descriptor> {
  const part = join(blobs, `part-${process.pid}-${Math.random().toString(36).slice(2)}`);
  const { descriptor } = await writeLayer(part, { folder, owners });
  await rename(part, join(blobs, descriptor.digest.slice(7)));
  return descriptor;
}
