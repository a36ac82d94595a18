/**
 * YAML and JSON of a tree. It is read in a thread of its own, since the parser is slow, and slower still with texts that were made to be; aliases and nesting are bounded there.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isJsonArray, isJsonObject, type JsonObject } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { YamlText } from "#apimachinery/codecs/yaml-text.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import { DeployFailed } from "#delivery/deploy/deploy-failed.ts";

/** Reads one document. Throws StatusError. */
export type YamlReader = { readonly parse: (bytes: Uint8Array) => Promise<YamlText> };

/** An object, and where it stands: "k8s/web.yaml". */
export type Manifest = { readonly object: JsonObject; readonly file: string };

const longestFile = 4 << 20;

/** The files below a folder. All methods throw {@link DeployFailed} for what cannot be read; `file` is for messages. */
export class YamlFiles {
  readonly root: string;
  readonly #reader: YamlReader;

  constructor(root: string, reader: YamlReader) {
    this.root = root;
    this.#reader = reader;
  }

  /** All objects of the files, in order, Lists taken apart. */
  async readManifests(files: readonly string[]): Promise<readonly Manifest[]> {
    const found: Manifest[] = [];
    for (const file of files) found.push(...(await this.manifestsOf(await this.text(file), file)));
    return found;
  }

  async text(file: string): Promise<string> {
    return await readFile(join(this.root, file), "utf8");
  }

  async manifestsOf(text: string, file: string): Promise<readonly Manifest[]> {
    return (await this.mapsOf(text, file)).flatMap((object) => {
      const { kind, apiVersion, items } = object;
      if (kind === "List" && isJsonArray(items))
        return items.flatMap((item) => (isJsonObject(item) ? [{ object: item, file }] : []));
      if (typeof kind !== "string" || typeof apiVersion !== "string")
        throw new DeployFailed(`${file} holds something that is no object: it wants apiVersion and kind`);
      return [{ object, file }];
    });
  }

  /** Documents, each a map. */
  async mapsOf(text: string, file: string): Promise<readonly JsonObject[]> {
    return (await this.valuesOf(text, file)).map((value) => {
      if (!isJsonObject(value)) throw new DeployFailed(`${file} holds something that is no object`);
      return value;
    });
  }

  /** Documents, whatever they are. */
  async valuesOf(text: string, file: string): Promise<readonly Json[]> {
    if (text.length > longestFile) throw new DeployFailed(`${file} is larger than ${longestFile >> 20} MiB`);
    const found: Json[] = [];
    // As kubectl takes files apart: a separator stands alone on its line.
    for (const part of text.split(/^---[ \t]*(?:#.*)?\r?$/m)) {
      if (part.split("\n").every((line) => /^\s*(?:#|$)/.test(line))) continue;
      found.push(await this.#parse(part, file));
    }
    return found;
  }

  async #parse(text: string, file: string): Promise<Json> {
    try {
      const { value, duplicates } = await this.#reader.parse(Buffer.from(text));
      if (duplicates !== undefined) throw new DeployFailed(`${file}: ${duplicates}`);
      return value as Json;
    } catch (cause) {
      if (!(cause instanceof StatusError)) throw cause;
      throw new DeployFailed(`${file} is no YAML: ${cause.message}`, { cause });
    }
  }
}
