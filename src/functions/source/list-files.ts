/**
 * The files of a function's folder that belong to it: without what .gitignore and .funcignore leave out, and without what never does. Sorted, so that the same folder gives the same archive.
 */
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { IgnoreRules } from "./ignore-rules.ts";
import { mostSourceFiles } from "./source-bounds.ts";

/** One file. */
export type SourceFile = { readonly path: string; readonly sizeBytes: number; readonly isExecutable: boolean };

/** A folder is larger than a source may be. */
export class SourceTooLarge extends Error {
  readonly kind = "SourceTooLarge";
}

const neverTaken = [".git", ".hg", ".svn", ".DS_Store", "__pycache__", ".venv", ".nodeless"];
const installed = "node_modules";

type Level = { readonly prefix: string; readonly rules: IgnoreRules };

/**
 * Lists them. Installed packages are taken although .gitignore leaves them out, since they are bundled; .funcignore leaves them out nevertheless (the build runs `npm ci` then).
 * Throws {@link SourceTooLarge}.
 */
export function listSourceFiles(folder: string, bounds: { readonly mostBytes: number }): readonly SourceFile[] {
  const files: SourceFile[] = [];
  let bytes = 0;
  const open = new Set<string>();
  const walk = (prefix: string, git: readonly Level[], own: readonly Level[], isInstalled: boolean) => {
    const here = join(folder, prefix);
    const real = realpathSync(here);
    // A link to a folder above would lead round in a circle.
    if (open.has(real)) return;
    open.add(real);
    const gitLevels = withLevel(git, here, prefix, ".gitignore");
    const ownLevels = withLevel(own, here, prefix, ".funcignore");
    for (const name of readdirSync(here).sort()) {
      if (neverTaken.includes(name)) continue;
      const path = prefix + name;
      // Links are followed, as the author's own tools do.
      const stats = statSync(join(folder, path), { throwIfNoEntry: false });
      if (stats === undefined) continue;
      const isFolder = stats.isDirectory();
      const below = isInstalled || (isFolder && name === installed);
      if (isLeftOut(ownLevels, path, isFolder) || (!below && isLeftOut(gitLevels, path, isFolder))) continue;
      if (isFolder) walk(`${path}/`, below ? [] : gitLevels, ownLevels, below);
      else if (stats.isFile()) {
        bytes += stats.size;
        if (bytes > bounds.mostBytes || files.length >= mostSourceFiles) throw tooLarge(folder, bounds.mostBytes);
        files.push({ path, sizeBytes: stats.size, isExecutable: (stats.mode & 0o100) !== 0 });
      }
    }
    open.delete(real);
  };
  walk("", [], [], false);
  return files;
}

function withLevel(levels: readonly Level[], folder: string, prefix: string, name: string): readonly Level[] {
  const file = join(folder, name);
  return existsSync(file) ? [...levels, { prefix, rules: new IgnoreRules(readFileSync(file, "utf8")) }] : levels;
}

function isLeftOut(levels: readonly Level[], path: string, isFolder: boolean): boolean {
  for (const { prefix, rules } of levels.toReversed()) {
    const verdict = rules.verdict(path.slice(prefix.length), isFolder);
    if (verdict !== undefined) return verdict;
  }
  return false;
}

function tooLarge(folder: string, mostBytes: number): SourceTooLarge {
  return new SourceTooLarge(
    `${folder} has more than ${mostBytes >> 20} MiB or ${mostSourceFiles} files: name what does not belong to the function in .funcignore`,
  );
}
