/**
 * Writes an OCI layout of one image from a folder that is its root file system: for images that are built without an engine (tests, examples, functions). The same
 * folder gives the same digests: entries are sorted, times are set to one.
 */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { lstat, mkdir, readdir, readlink, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Pack, pack } from "tar-stream";
import { digestOf } from "./blobs.ts";
import { hostPlatform, type ImageConfig, mediaTypes } from "./oci.ts";

/** What goes into the layout. `layers`: folders, lowest first; all files belong to root unless `owners` says otherwise. */
export type LayoutContent = {
  readonly name: string;
  readonly layers: readonly string[];
  readonly config: NonNullable<ImageConfig["config"]>;
  /** Owner of a path without leading slash, and of all below it: { "var/lib/postgresql": { uid: 70, gid: 70 } }. */
  readonly owners?: Readonly<Record<string, { readonly uid: number; readonly gid: number }>>;
};

/** Writes the layout into `folder`. Gives the manifest's digest. */
export async function writeLayout(folder: string, content: LayoutContent): Promise<string> {
  const blobs = join(folder, "blobs", "sha256");
  await mkdir(blobs, { recursive: true });
  const layers = [];
  for (const layer of content.layers) layers.push(await writeLayer(blobs, layer, content.owners ?? {}));
  const diffIds = layers.map((layer) => layer.digest);
  const config = await writeJson(blobs, {
    ...hostPlatform(),
    created: "2026-01-01T00:00:00Z",
    config: content.config,
    rootfs: { type: "layers", diff_ids: diffIds },
  });
  const manifest = await writeJson(blobs, {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: mediaTypes.config, ...config },
    layers: layers.map((layer) => ({ mediaType: mediaTypes.layer, ...layer })),
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

async function writeLayer(blobs: string, folder: string, owners: NonNullable<LayoutContent["owners"]>): Promise<Blob> {
  const archive = pack();
  const hash = createHash("sha256");
  let size = 0;
  const part = join(blobs, `part-${process.pid}-${Math.random().toString(36).slice(2)}`);
  const writing = pipeline(
    archive as unknown as AsyncIterable<Buffer>,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        size += chunk.length;
        yield chunk;
      }
    },
    createWriteStream(part),
  );
  await addFolder(archive, folder, "", owners);
  archive.finalize();
  await writing;
  const digest = `sha256:${hash.digest("hex")}`;
  await rename(part, join(blobs, digest.slice(7)));
  return { digest, size };
}

async function addFolder(
  archive: Pack,
  root: string,
  relative: string,
  owners: NonNullable<LayoutContent["owners"]>,
): Promise<void> {
  for (const name of (await readdir(join(root, relative))).sort()) {
    const path = relative === "" ? name : `${relative}/${name}`;
    const stats = await lstat(join(root, path));
    const header = { name: path, mode: stats.mode & 0o7777, mtime: new Date(0), ...ownerOf(path, owners) };
    if (stats.isDirectory()) {
      archive.entry({ ...header, type: "directory" });
      await addFolder(archive, root, path, owners);
    } else if (stats.isSymbolicLink()) {
      archive.entry({ ...header, type: "symlink", linkname: await readlink(join(root, path)) });
    } else if (stats.isFile()) {
      const entry = archive.entry({ ...header, type: "file", size: stats.size });
      await pipeline(createReadStream(join(root, path)), entry as unknown as NodeJS.WritableStream);
    }
  }
}

function ownerOf(
  path: string,
  owners: NonNullable<LayoutContent["owners"]>,
): { readonly uid: number; readonly gid: number } {
  const prefix = Object.keys(owners).filter((candidate) => path === candidate || path.startsWith(`${candidate}/`));
  const longest = prefix.sort((a, b) => b.length - a.length)[0];
  return (longest !== undefined && owners[longest]) || { uid: 0, gid: 0 };
}
