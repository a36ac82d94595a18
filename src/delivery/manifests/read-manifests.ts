/**
 * Objects in files of YAML or JSON, Lists taken apart.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { isJsonObject, type JsonObject } from "#apimachinery/json.ts";
import { DeployFailed } from "#delivery/deploy/deploy-failed.ts";

/** An object, and where it stands: "k8s/web.yaml". */
export type Manifest = { readonly object: JsonObject; readonly file: string };

/** Aliases that a document may use: more are an attack on who reads it. */
const mostAliases = 100;
const longestFile = 4 << 20;

/** All objects of the files, in order. Throws {@link DeployFailed} for what is none. */
export async function readManifests(root: string, files: readonly string[]): Promise<readonly Manifest[]> {
  const found: Manifest[] = [];
  for (const file of files) found.push(...parseManifests(await readFile(join(root, file), "utf8"), file));
  return found;
}

/** Throws {@link DeployFailed}. */
export function parseManifests(text: string, file: string): readonly Manifest[] {
  return parseDocuments(text, file).flatMap((object) => {
    const { kind, apiVersion, items } = object;
    if (kind === "List" && Array.isArray(items))
      return items.flatMap((item) => (isJsonObject(item) ? [{ object: item, file }] : []));
    if (typeof kind !== "string" || typeof apiVersion !== "string")
      throw new DeployFailed(`${file} holds something that is no object: it wants apiVersion and kind`);
    return [{ object, file }];
  });
}

/** Documents that are maps. Throws {@link DeployFailed}. */
export function parseDocuments(text: string, file: string): readonly JsonObject[] {
  if (text.length > longestFile) throw new DeployFailed(`${file} is larger than ${longestFile >> 20} MiB`);
  return [...parseAllDocuments(text)].flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw new DeployFailed(`${file} is no YAML: ${error.message.split(":\n")[0]}`);
    const read = (): unknown => {
      try {
        return document.toJS({ maxAliasCount: mostAliases });
      } catch (cause) {
        throw new DeployFailed(`${file} is no YAML: ${(cause as Error).message}`, { cause });
      }
    };
    const object = read();
    if (object === null) return [];
    if (!isJsonObject(object)) throw new DeployFailed(`${file} holds something that is no object`);
    return [object];
  });
}
