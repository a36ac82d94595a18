/**
 * Reading and making files inside a container's root from outside of it: symbolic links are followed as the container would see them, so an image's /etc/passwd → /etc/shadow
 * does not lead to the machine's.
 */
import { lstatSync, mkdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

const mostLinks = 100;

/** The real path of `path` inside `root`, all links followed; parts that do not exist are kept as they are. */
export function resolveInRoot(root: string, path: string): string {
  const todo = splitPath(path).reverse();
  let current: string[] = [];
  let links = 0;
  while (todo.length > 0) {
    const part = todo.pop() as string;
    if (part === "..") {
      current.pop();
      continue;
    }
    const stats = lstatSync(join(root, ...current, part), { throwIfNoEntry: false });
    if (!stats?.isSymbolicLink()) {
      current.push(part);
      continue;
    }
    if (++links > mostLinks) throw new Error(`too many symbolic links in ${path}`);
    const target = readlinkSync(join(root, ...current, part));
    if (target.startsWith("/")) current = [];
    todo.push(...splitPath(target).reverse());
  }
  return join(root, ...current);
}

/** The file's text, or "" where there is none. */
export function readInRoot(root: string, path: string): string {
  const real = resolveInRoot(root, path);
  const stats = lstatSync(real, { throwIfNoEntry: false });
  return stats?.isFile() ? readFileSync(real, "utf8") : "";
}

/** Makes a folder with its parents inside the root, where it is missing. */
export function makeFolderInRoot(root: string, path: string): void {
  mkdirSync(resolveInRoot(root, path), { recursive: true, mode: 0o755 });
}

function splitPath(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}
