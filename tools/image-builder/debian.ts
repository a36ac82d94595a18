/**
 * Fetches Debian packages through apt and unpacks them into a folder. Needs no root, no chroot and no installation: nothing of the packages is run.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Unpacks these packages (without what they depend on) into `root`. `cache` keeps the archives. */
export async function unpackPackages(packages: readonly string[], root: string, cache: string): Promise<void> {
  await mkdir(root, { recursive: true });
  for (const archive of await fetchPackages(packages, cache)) await run("dpkg", ["-x", archive, root]);
}

/** The package with all that it depends on, without what `without` names. Alternatives: the first that exists. */
export async function listClosure(packages: readonly string[], without: readonly string[]): Promise<string[]> {
  const exclude = new Set(without);
  const found = new Set<string>();
  const todo = [...packages];
  while (todo.length > 0) {
    const batch = todo.splice(0).filter((name) => !found.has(name) && !exclude.has(name));
    if (batch.length === 0) break;
    for (const name of batch) found.add(name);
    const { stdout } = await run("apt-cache", ["show", "--no-all-versions", ...batch], { maxBuffer: 1 << 26 });
    for (const line of stdout.split("\n")) {
      const list = /^(?:Pre-)?Depends: (.*)$/.exec(line)?.[1];
      for (const choice of list?.split(", ") ?? []) todo.push((choice.split(" | ")[0] ?? "").replace(/[ :].*$/, ""));
    }
  }
  return [...found];
}

/** Paths of the packages' archives. Those that the cache lacks are asked for at once: each start of apt reads all of its lists. */
async function fetchPackages(names: readonly string[], cache: string): Promise<string[]> {
  await mkdir(cache, { recursive: true });
  const missing = namesWithout(names, await readdir(cache));
  if (missing.length > 0) {
    // Beside others who fill the cache: an archive in it is whole.
    const folder = await mkdtemp(join(cache, "fetching-"));
    try {
      await run("apt-get", ["download", "-q", ...missing], { cwd: folder, maxBuffer: 1 << 26 });
      for (const file of await readdir(folder)) await rename(join(folder, file), join(cache, file));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  const archives = await readdir(cache);
  return names.map((name) => {
    const archive = archives.find((file) => isArchiveOf(name, file));
    if (archive === undefined) throw new Error(`apt-get brought no archive of ${name}`);
    return join(cache, archive);
  });
}

function namesWithout(names: readonly string[], archives: readonly string[]): string[] {
  return names.filter((name) => !archives.some((file) => isArchiveOf(name, file)));
}

function isArchiveOf(name: string, file: string): boolean {
  return file.startsWith(`${name}_`) && file.endsWith(".deb");
}
