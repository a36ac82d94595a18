/**
 * Fetches Debian packages through apt and unpacks them into a folder. Needs no root, no chroot and no installation: nothing of the packages is run.
 */
import { execFile } from "node:child_process";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Unpacks these packages (without what they depend on) into `root`. `cache` keeps the archives. */
export async function unpackPackages(packages: readonly string[], root: string, cache: string): Promise<void> {
  await mkdir(cache, { recursive: true });
  await mkdir(root, { recursive: true });
  for (const name of packages) await run("dpkg", ["-x", await fetchPackage(name, cache), root]);
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

async function fetchPackage(name: string, cache: string): Promise<string> {
  const present = (await readdir(cache)).find((file) => file.startsWith(`${name}_`) && file.endsWith(".deb"));
  if (present !== undefined) return join(cache, present);
  await run("apt-get", ["download", "-q", name], { cwd: cache });
  const fetched = (await readdir(cache)).find((file) => file.startsWith(`${name}_`) && file.endsWith(".deb"));
  if (fetched === undefined) throw new Error(`apt-get brought no archive of ${name}`);
  return join(cache, fetched);
}
