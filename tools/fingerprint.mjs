/** What the bundle was made from: a digest of all source files' names, sizes and times of change, and of the lock file. */
import { createHash } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * @param {string} root the repository
 * @returns {string} hexadecimal
 */
export function fingerprint(root) {
  const hash = createHash("sha256");
  const names = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).map((name) => join("src", name));
  for (const name of [...names.sort(), "tools/bundle.ts", "tools/bundle-options.ts", "package-lock.json"]) {
    const { size, mtimeMs, isFile } = describe(join(root, name));
    if (isFile) hash.update(`${name} ${size} ${mtimeMs}\n`);
  }
  return hash.digest("hex");
}

/** @param {string} path */
function describe(path) {
  const stat = statSync(path);
  return { size: stat.size, mtimeMs: stat.mtimeMs, isFile: stat.isFile() };
}
