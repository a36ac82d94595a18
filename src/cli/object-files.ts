/**
 * The objects that `-f` names: in files, folders, at URLs and on standard input.
 */
import { type Dirent, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import type { KubeObject } from "#apimachinery/meta.ts";
import { UserError } from "./command.ts";

/** Longest time for a URL to be read. */
const fetchMs = 30_000;

/** All objects, Lists taken apart, in the order of the places and of the files' names. Folders inside folders count only if `isRecursive`. Throws UserError. */
export async function readObjects(places: readonly string[], isRecursive: boolean): Promise<readonly KubeObject[]> {
  const objects: KubeObject[] = [];
  for (const place of places) {
    if (/^https?:\/\//.test(place)) objects.push(...parseObjects(place, await fetchText(place)));
    else if (place === "-") objects.push(...parseObjects("standard input", readFileSync(0, "utf8")));
    else
      for (const file of filesAt(place, isRecursive)) objects.push(...parseObjects(file, readFileSync(file, "utf8")));
  }
  if (objects.length === 0) throw new UserError(`no objects are in ${places.join(", ")}`);
  return objects;
}

/** The file, or what kubectl too takes from a folder: names that end in .json, .yaml and .yml. */
function filesAt(place: string, isRecursive: boolean): string[] {
  if (!statSync(place).isDirectory()) return [place];
  const byName = (one: Dirent, other: Dirent) => (one.name < other.name ? -1 : 1);
  return readdirSync(place, { withFileTypes: true })
    .sort(byName)
    .flatMap((entry) => {
      const path = join(place, entry.name);
      if (entry.isDirectory()) return isRecursive ? filesAt(path, true) : [];
      return /\.(json|ya?ml)$/.test(entry.name) ? [path] : [];
    });
}

async function fetchText(url: string): Promise<string> {
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(fetchMs) });
    if (response.ok) return await response.text();
  } catch (cause) {
    const { message } = (cause as Error).cause instanceof Error ? ((cause as Error).cause as Error) : (cause as Error);
    throw new UserError(`cannot read ${url}: ${message}`, { cause });
  }
  throw new UserError(`cannot read ${url}: the server answers ${response.status} ${response.statusText}`.trimEnd());
}

/** All objects of a text, Lists taken apart. `source` is for messages. Throws UserError. */
export function parseObjects(source: string, text: string): KubeObject[] {
  return [...parseAllDocuments(text)].flatMap((document) => {
    const [error] = document.errors;
    if (error) throw new UserError(`${source} is no YAML: ${error.message.split(":\n")[0]}`);
    const object = document.toJS() as unknown;
    if (object === null) return [];
    if (typeof object !== "object" || Array.isArray(object))
      throw new UserError(`${source} holds something that is no object`);
    const { kind, items } = object as KubeObject & { readonly items?: readonly KubeObject[] };
    return kind === "List" ? [...(items ?? [])] : [object];
  });
}
