/**
 * Makes a layer of files: a folder of this machine, files that are in memory, or both. The same files give the same bytes on every machine: names are sorted, times are zero,
 * owners are root unless said otherwise.
 */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip, createZstdCompress } from "node:zlib";
import { pack, type Pack } from "tar-stream";
import { type Descriptor, InvalidImage, mediaTypes } from "./oci.ts";

/** What goes into a layer. A file of `files` takes the place of one of the same name in `folder`. */
export type LayerContent = {
  /** Its content goes in, without the folder itself. Links stay links; sockets, pipes and devices are left out. */
  readonly folder?: string;
  readonly files?: readonly LayerFile[];
  /** Where in the image all of it goes: "app" or "/app". Default: its root. */
  readonly at?: string;
  /** Owner of a path in the image without leading slash, and of all below it: { "var/lib/postgresql": { uid: 70, gid: 70 } }. Default: root. */
  readonly owners?: Readonly<Record<string, { readonly uid: number; readonly gid: number }>>;
  /** Permissions of what comes from `folder`: as they are, or ("plain") 0755 for folders and programs and 0644 for all else, so that somebody's umask changes no digest. Default: as they are. */
  readonly modes?: "kept" | "plain";
  /** Given a path in `folder`, without leading slash: whether it stays out, with all below it. */
  readonly isLeftOut?: (path: string) => boolean;
};

/** A file that is in memory, or a link. Folders above it come by themselves where the image has none. */
export type LayerFile = {
  /** "app/index.js", with or without a leading slash. */
  readonly path: string;
  /** Default 0644. */
  readonly mode?: number;
} & ({ readonly content: string | Uint8Array } | { readonly linkTo: string });

/** How a layer is stored. */
export type LayerCompression = "none" | "gzip" | "zstd";

/** A layer that was written. */
export type WrittenLayer = {
  readonly descriptor: Descriptor;
  /** Digest of what it unpacks to. */
  readonly diffId: string;
};

type Entry = { readonly header: Parameters<Pack["entry"]>[0] } & (
  | { readonly kind: "header" }
  | { readonly kind: "bytes"; readonly bytes: Buffer }
  | { readonly kind: "file"; readonly file: string }
);

/** Writes the layer to `file`, durably. Throws {@link InvalidImage} for names that lead out of the image. */
export async function writeLayer(
  file: string,
  content: LayerContent,
  options: { readonly compression?: LayerCompression; readonly signal?: AbortSignal | undefined } = {},
): Promise<WrittenLayer> {
  const { compression = "none", signal } = options;
  const entries = await entriesOf(content);
  const archive = pack();
  const plain = createHash("sha256");
  const packed = createHash("sha256");
  let size = 0;
  const compressed = pipeline(
    archive as unknown as AsyncIterable<Buffer>,
    tap((chunk) => plain.update(chunk)),
    compressor(compression),
    tap((chunk) => {
      packed.update(chunk);
      size += chunk.length;
    }),
    createWriteStream(file, { flush: true }),
    { signal },
  );
  compressed.catch(() => {}); // awaited below
  try {
    for (const entry of entries) await addEntry(archive, entry);
    archive.finalize();
  } catch (error) {
    archive.destroy(error as Error);
    await compressed.catch(() => {}); // it fails by the same error
    throw error;
  }
  await compressed;
  const mediaType = { none: mediaTypes.layer, gzip: mediaTypes.layerGzip, zstd: mediaTypes.layerZstd }[compression];
  const descriptor = { mediaType, digest: `sha256:${packed.digest("hex")}`, size };
  return { descriptor, diffId: `sha256:${plain.digest("hex")}` };
}

async function entriesOf(content: LayerContent): Promise<readonly Entry[]> {
  const found = new Map<string, Entry>();
  const root = content.at === undefined ? "" : checkedPath(content.at);
  if (content.folder !== undefined) await collectFolder(found, content, content.folder, "", root);
  for (const file of content.files ?? []) {
    const path = inside(root, checkedPath(file.path));
    if (path === "") throw new InvalidImage(`${JSON.stringify(file.path)} names no file`);
    found.set(path, memoryEntry(path, file, content.owners));
  }
  // As a walk that goes down where it finds a folder: a slash comes before every other character.
  const keyOf = (path: string) => path.replaceAll("/", "\0");
  const sorted = [...found].map(([path, entry]) => ({ key: keyOf(path), entry }));
  sorted.sort((a, b) => (a.key < b.key ? -1 : 1));
  return sorted.map(({ entry }) => entry);
}

function memoryEntry(path: string, file: LayerFile, owners: LayerContent["owners"]): Entry {
  const header = { name: path, mode: file.mode ?? 0o644, mtime: new Date(0), ...ownerOf(path, owners) };
  if ("linkTo" in file)
    return { kind: "header", header: { ...header, mode: 0o777, type: "symlink", linkname: file.linkTo } };
  const bytes = Buffer.from(file.content);
  return { kind: "bytes", bytes, header: { ...header, type: "file", size: bytes.length } };
}

async function collectFolder(
  found: Map<string, Entry>,
  content: LayerContent,
  folder: string,
  relative: string,
  root: string,
): Promise<void> {
  for (const name of await readdir(join(folder, relative))) {
    const below = inside(relative, name);
    if (content.isLeftOut?.(below)) continue;
    const file = join(folder, below);
    const path = inside(root, below);
    const stats = await lstat(file);
    const isOpen = stats.isDirectory() || (stats.mode & 0o111) !== 0;
    const mode = content.modes === "plain" ? (isOpen ? 0o755 : 0o644) : stats.mode & 0o7777;
    const header = { name: path, mode, mtime: new Date(0), ...ownerOf(path, content.owners) };
    if (stats.isDirectory()) {
      found.set(path, { kind: "header", header: { ...header, type: "directory" } });
      await collectFolder(found, content, folder, below, root);
    } else if (stats.isSymbolicLink()) {
      const linkname = await readlink(file);
      found.set(path, { kind: "header", header: { ...header, type: "symlink", linkname } });
    } else if (stats.isFile()) {
      found.set(path, { kind: "file", file, header: { ...header, type: "file", size: stats.size } });
    }
  }
}

async function addEntry(archive: Pack, entry: Entry): Promise<void> {
  if (entry.kind === "header") archive.entry(entry.header);
  else if (entry.kind === "bytes") archive.entry(entry.header, entry.bytes);
  else {
    const target = archive.entry(entry.header);
    await pipeline(createReadStream(entry.file), target as unknown as NodeJS.WritableStream);
  }
}

function compressor(compression: LayerCompression): Transform {
  if (compression === "gzip") return createGzip();
  if (compression === "zstd") return createZstdCompress();
  return new PassThrough();
}

function tap(look: (chunk: Buffer) => void) {
  return async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      look(chunk);
      yield chunk;
    }
  };
}

function inside(folder: string, name: string): string {
  return folder === "" || name === "" ? folder + name : `${folder}/${name}`;
}

function checkedPath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..") || path.includes("\0"))
    throw new InvalidImage(`${JSON.stringify(path)} leads out of the image`);
  return parts.join("/");
}

function ownerOf(path: string, owners: LayerContent["owners"] = {}): { readonly uid: number; readonly gid: number } {
  const prefix = Object.keys(owners).filter((candidate) => path === candidate || path.startsWith(`${candidate}/`));
  const longest = prefix.sort((a, b) => b.length - a.length)[0];
  return (longest !== undefined && owners[longest]) || { uid: 0, gid: 0 };
}
