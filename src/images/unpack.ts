/**
 * Unpacks a layer's archive into a folder as overlayfs wants it: whiteouts become character devices 0:0, opaque folders get their mark. Owners, modes with set-uid,
 * times and file capabilities are kept. Files are written in small synchronous steps (5 µs each instead of 60) with pauses for others in between.
 */
import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  utimesSync,
  copyFileSync,
  writeSync,
  constants,
} from "node:fs";
import { basename, dirname } from "node:path";
import type { Readable } from "node:stream";
import type { SpecialFiles } from "./special-files.ts";
import { LayerTree } from "./layer-tree.ts";
import { InvalidImage } from "./oci.ts";
import { readTar, type TarEntry } from "./tar-reader.ts";

const whiteoutPrefix = ".wh.";
const opaqueName = ".wh..wh..opq";
const sliceMs = 4;
const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
const modeBits = { fifo: 0o010000, "character-device": 0o020000, "block-device": 0o060000 } as const;

/** What unpacking takes. `lower` as in {@link LayerTree}. Without `specialFiles`, devices, whiteouts and attributes are refused. */
export type UnpackOptions = {
  readonly archive: Readable;
  readonly root: string;
  readonly lower?: readonly string[];
  readonly specialFiles?: SpecialFiles | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** Unpacks a tar stream into an existing folder. Throws {@link InvalidImage} for what no honest layer has; the folder is the caller's to remove then. */
export async function unpackLayer(options: UnpackOptions): Promise<void> {
  const tree = new LayerTree({ root: options.root, lower: options.lower ?? [], specialFiles: options.specialFiles });
  const unpacker = new Unpacker(tree, options.specialFiles, process.getuid?.() === 0);
  let pauseAtMs = performance.now() + sliceMs;
  for await (const entry of readTar(options.archive)) {
    options.signal?.throwIfAborted();
    await unpacker.add(entry);
    if (performance.now() < pauseAtMs) continue;
    await new Promise(setImmediate);
    pauseAtMs = performance.now() + sliceMs;
  }
  unpacker.finish();
}

class Unpacker {
  readonly #tree: LayerTree;
  readonly #specialFiles: SpecialFiles | undefined;
  readonly #isRoot: boolean;
  /** Times of folders are set last: whatever is put into them changes them. */
  readonly #folderTimes = new Map<string, Date>();

  constructor(tree: LayerTree, specialFiles: SpecialFiles | undefined, isRoot: boolean) {
    this.#tree = tree;
    this.#specialFiles = specialFiles;
    this.#isRoot = isRoot;
  }

  async add(entry: TarEntry): Promise<void> {
    const name = basename(entry.name);
    if (name.startsWith(whiteoutPrefix)) this.#addWhiteout(entry, name);
    else if (entry.type === "file") await this.#addFile(entry);
    else this.#addOther(entry);
  }

  finish(): void {
    for (const [path, time] of this.#folderTimes) {
      if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) utimesSync(path, time, time);
    }
  }

  async #addFile(header: TarEntry): Promise<void> {
    const path = this.#emptyPlace(header);
    const fd = openSync(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
    try {
      for await (const chunk of header.content) {
        for (let written = 0; written < chunk.length; ) written += writeSync(fd, chunk, written);
      }
      if (this.#isRoot) fchownSync(fd, header.uid, header.gid);
      // After the owner: changing that clears set-uid.
      fchmodSync(fd, header.mode);
      this.#setAttributes(path, header);
      futimesSync(fd, header.mtime, header.mtime);
    } finally {
      closeSync(fd);
    }
  }

  #addOther(header: TarEntry): void {
    switch (header.type) {
      case "directory":
        return this.#addFolder(header);
      case "symlink":
        return this.#addSymlink(header);
      case "link":
        return this.#addHardLink(header);
      case "fifo":
      case "character-device":
      case "block-device":
        return this.#addNode(header, modeBits[header.type]);
      default:
        throw new InvalidImage(`a layer has an entry of type ${header.type}: ${header.name}`);
    }
  }

  #addFolder(header: TarEntry): void {
    const path = this.#tree.place(header.name);
    if (this.#tree.isHidden(path)) this.#tree.makeOpaqueFolder(path);
    else if (!lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) {
      this.#tree.clear(path);
      mkdirSync(path, 0o755);
    }
    this.#finishNode(path, header);
    this.#folderTimes.set(path, header.mtime);
  }

  #addSymlink(header: TarEntry): void {
    const path = this.#emptyPlace(header);
    symlinkSync(header.linkname, path);
    if (this.#isRoot) lchownSync(path, header.uid, header.gid);
    lutimesSync(path, header.mtime, header.mtime);
  }

  #addHardLink(header: TarEntry): void {
    const source = this.#tree.findExisting(header.linkname);
    if (source === undefined)
      throw new InvalidImage(`${header.name} is a hard link to ${header.linkname}, which is not there`);
    if (lstatSync(source).isDirectory()) throw new InvalidImage(`${header.name} is a hard link to a folder`);
    const path = this.#tree.place(header.name);
    if (path === source) return;
    this.#tree.clear(path);
    const own = this.#tree.place(header.linkname);
    if (source !== own) this.#copyUp(source, own);
    linkSync(own, path);
  }

  // A link to a file of a layer below: overlayfs would copy it up before linking, and so do we.
  #copyUp(source: string, own: string): void {
    const stats = lstatSync(source);
    if (!stats.isFile())
      throw new InvalidImage(`a hard link leads to ${basename(source)} of a layer below, which is no file`);
    copyFileSync(source, own, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    if (this.#isRoot) lchownSync(own, stats.uid, stats.gid);
    chmodSync(own, stats.mode & 0o7777);
    utimesSync(own, stats.atime, stats.mtime);
  }

  #addNode(header: TarEntry, kind: number): void {
    const path = this.#emptyPlace(header);
    this.#needSpecialFiles(header).mknod(path, kind | 0o600, header.devmajor, header.devminor);
    this.#finishNode(path, header);
    lutimesSync(path, header.mtime, header.mtime);
  }

  #addWhiteout(header: TarEntry, name: string): void {
    const path = this.#tree.place(header.name);
    if (name === opaqueName) {
      this.#needSpecialFiles(header);
      return this.#tree.hideBelow(dirname(path));
    }
    // Other names with the double prefix are AUFS' own bookkeeping.
    if (name.startsWith(whiteoutPrefix + whiteoutPrefix)) return;
    const hidden = name.slice(whiteoutPrefix.length);
    if (hidden === "" || hidden === "." || hidden === "..")
      throw new InvalidImage(`a layer hides ${JSON.stringify(hidden)}`);
    const target = this.#tree.place(`${dirname(header.name)}/${hidden}`);
    // It hides what is below, not what this layer itself has at that place, in whichever order they come.
    const own = lstatSync(target, { throwIfNoEntry: false });
    if (own?.isDirectory()) this.#tree.hideBelow(target);
    else if (!own) this.#needSpecialFiles(header).mknod(target, modeBits["character-device"], 0, 0);
  }

  #emptyPlace(header: TarEntry): string {
    const path = this.#tree.place(header.name);
    this.#tree.clear(path);
    return path;
  }

  #finishNode(path: string, header: TarEntry): void {
    if (this.#isRoot) lchownSync(path, header.uid, header.gid);
    chmodSync(path, header.mode);
    this.#setAttributes(path, header);
  }

  // Only capabilities and users' own: a layer that could set overlayfs' attributes could make the kernel look elsewhere.
  #setAttributes(path: string, header: TarEntry): void {
    for (const [name, value] of header.xattrs) {
      const isWanted =
        name === "security.capability" || (name.startsWith("user.") && !name.startsWith("user.overlay."));
      if (isWanted && this.#isRoot) this.#specialFiles?.setXattr(path, name, value);
    }
  }

  #needSpecialFiles(header: TarEntry): SpecialFiles {
    if (!this.#specialFiles || !this.#isRoot) throw new InvalidImage(`${header.name} needs root to be unpacked`);
    return this.#specialFiles;
  }
}
