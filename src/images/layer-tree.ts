/**
 * The folder of a layer being unpacked, with the layers below it in view. Names come from strangers: every one is walked part by part, symbolic links are followed
 * by us and inside the root only (as after a chroot), so nothing is ever read or written outside of the folder. Nobody else changes the folder meanwhile.
 *
 * The layers below matter in two cases: a parent that this layer does not list keeps the owner and mode it has below, and a link of below (lib → usr/lib)
 * still leads where it leads.
 */
import { chmodSync, lchownSync, lstatSync, mkdirSync, readlinkSync, rmSync, type Stats } from "node:fs";
import { join } from "node:path";
import type { SpecialFiles } from "./special-files.ts";
import { InvalidImage } from "./oci.ts";

const mostLinks = 255;
const opaqueMark = "trusted.overlay.opaque";

/** `lower`: absolute folders of the layers below, topmost first. Without `specialFiles` (tests without root) whiteouts of below are not seen. */
export class LayerTree {
  readonly #root: string;
  readonly #lower: readonly string[];
  readonly #specialFiles: SpecialFiles | undefined;
  /** Folders (relative) that are known to be real folders of this layer. */
  readonly #known = new Set<string>([""]);

  constructor(options: {
    readonly root: string;
    readonly lower: readonly string[];
    readonly specialFiles?: SpecialFiles | undefined;
  }) {
    this.#root = options.root;
    this.#lower = options.lower;
    this.#specialFiles = options.specialFiles;
  }

  /** The absolute path for a name of an archive; its parents exist afterwards. The last part itself is not followed. The root itself is "". */
  place(name: string): string {
    const parts = splitName(name);
    const last = parts.pop();
    if (last === undefined) return this.#root;
    return join(this.#root, this.#enter(parts), last);
  }

  /** The absolute path of something that must be here already, for a hard link. Looks into the layers below too; undefined for nothing. */
  findExisting(name: string): string | undefined {
    const parts = splitName(name);
    const last = parts.pop();
    if (last === undefined) return undefined;
    const relative = join(this.#enter(parts), last);
    const own = join(this.#root, relative);
    if (lstatIfThere(own)) return own;
    return this.#findBelow(relative)?.path;
  }

  /** Takes away what stands at a place that `place` gave, to make room. */
  clear(path: string): void {
    const stats = lstatIfThere(path);
    if (!stats) return;
    if (stats.isDirectory()) {
      this.#known.clear();
      this.#known.add("");
    }
    rmSync(path, { recursive: true, force: true });
  }

  // Walks the parts, follows links inside the root, makes missing folders. Gives the real folder, relative to the root.
  #enter(parts: readonly string[]): string {
    const quick = parts.join("/");
    if (this.#known.has(quick)) return quick;
    const todo = [...parts].reverse();
    let current = "";
    let links = 0;
    while (todo.length > 0) {
      const part = todo.pop() as string;
      if (part === "..") {
        current = current.includes("/") ? current.slice(0, current.lastIndexOf("/")) : "";
        continue;
      }
      const next = current === "" ? part : `${current}/${part}`;
      const target = this.#linkTarget(next);
      if (target === undefined) {
        this.#ensureFolder(next);
        current = next;
        continue;
      }
      if (++links > mostLinks) throw new InvalidImage(`too many symbolic links in ${quick}`);
      if (target.startsWith("/")) current = "";
      todo.push(
        ...target
          .split("/")
          .filter((piece) => piece !== "" && piece !== ".")
          .reverse(),
      );
    }
    return current;
  }

  #linkTarget(relative: string): string | undefined {
    const path = join(this.#root, relative);
    const own = lstatIfThere(path);
    if (own) return own.isSymbolicLink() ? readlinkSync(path) : undefined;
    const below = this.#findBelow(relative);
    return below?.stats.isSymbolicLink() ? readlinkSync(below.path) : undefined;
  }

  #ensureFolder(relative: string): void {
    if (this.#known.has(relative)) return;
    const path = join(this.#root, relative);
    const stats = lstatIfThere(path);
    if (stats && isWhiteout(stats)) this.makeOpaqueFolder(path);
    else if (stats && !stats.isDirectory()) throw new InvalidImage(`${relative} is used as a folder but is none`);
    if (!stats) this.#makeLikeBelow(relative, path);
    this.#known.add(relative);
  }

  /** Whether something of the layers below was hidden at a place that `place` gave. */
  isHidden(path: string): boolean {
    const stats = lstatIfThere(path);
    return stats !== undefined && isWhiteout(stats);
  }

  /** A folder in the place of a whiteout: new, and nothing of the layers below shows in it. */
  makeOpaqueFolder(path: string): void {
    rmSync(path);
    makeOpenFolder(path);
    this.hideBelow(path);
  }

  /** Hides what the layers below have in a folder. */
  hideBelow(path: string): void {
    if (!this.#specialFiles) throw new InvalidImage(`${path} cannot be made opaque without root`);
    this.#specialFiles.setXattr(path, opaqueMark, Buffer.from("y"));
  }

  #makeLikeBelow(relative: string, path: string): void {
    makeOpenFolder(path);
    const below = this.#findBelow(relative)?.stats;
    if (!below?.isDirectory()) return;
    if (process.getuid?.() === 0) lchownSync(path, below.uid, below.gid);
    chmodSync(path, below.mode & 0o7777);
  }

  // What the layers below show at a path, all parents being real folders there. A whiteout or an opaque folder hides what lies further below.
  #findBelow(relative: string): { readonly path: string; readonly stats: Stats } | undefined {
    if (this.#isHiddenHere(relative)) return undefined;
    for (const layer of this.#lower) {
      const found = this.#look(layer, relative);
      if (found === "hidden") return undefined;
      if (found) return found;
    }
    return undefined;
  }

  #look(layer: string, relative: string): { readonly path: string; readonly stats: Stats } | "hidden" | undefined {
    const parts = relative.split("/");
    let path = layer;
    let isOpaque = false;
    for (const [index, part] of parts.entries()) {
      path = join(path, part);
      const stats = lstatIfThere(path);
      if (!stats) return isOpaque ? "hidden" : undefined;
      if (isWhiteout(stats)) return "hidden";
      if (index === parts.length - 1) return { path, stats };
      if (!stats.isDirectory()) return "hidden";
      isOpaque ||= this.#isOpaque(path);
    }
    return undefined;
  }

  #isHiddenHere(relative: string): boolean {
    const parts = relative.split("/");
    return parts.some((_, index) => index > 0 && this.#isOpaque(join(this.#root, ...parts.slice(0, index))));
  }

  #isOpaque(path: string): boolean {
    try {
      return this.#specialFiles?.getXattr(path, opaqueMark)?.toString() === "y";
    } catch {
      return false;
    }
  }
}

/** The parts of a name without empty ones and "."; ".." is kept and handled on the walk. */
function splitName(name: string): string[] {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  // A name that ends in ".." names a folder that the walk must enter first.
  if (parts.at(-1) === "..") throw new InvalidImage(`a layer's entry is called ${JSON.stringify(name)}`);
  return parts;
}

// Whatever the umask of whoever loads the image.
function makeOpenFolder(path: string): void {
  mkdirSync(path);
  chmodSync(path, 0o755);
}

function lstatIfThere(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function isWhiteout(stats: Stats): boolean {
  return stats.isCharacterDevice() && stats.rdev === 0;
}
