/**
 * ConfigMaps and Secrets of literals and files. Their names end in a hash of what they hold, so that who uses them is rolled out anew when that changes.
 */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import type { JsonObject } from "#apimachinery/json.ts";
import { DeployFailed } from "#delivery/deploy/deploy-failed.ts";
import type { Draft, Kustomization } from "./kustomization-types.ts";

/** An object that is new, or changes one that is there. */
export type Generated = { readonly draft: Draft; readonly behavior: "create" | "replace" | "merge" };

type Reader = { readonly file: string; readonly readText: (path: string) => Promise<string> };

/** Throws {@link DeployFailed}. */
export async function generate(spec: Kustomization, reader: Reader): Promise<readonly Generated[]> {
  const found: Generated[] = [];
  for (const [kind, list] of [
    ["ConfigMap", spec.configMapGenerator],
    ["Secret", spec.secretGenerator],
  ] as const)
    for (const generator of list ?? []) {
      const { name, namespace, behavior = "create", type, literals = [], files = [], envs = [] } = generator;
      if (name === undefined) throw new DeployFailed(`${reader.file}: a generator has no name`);
      const data = await dataOf({ literals, files, envs }, reader);
      const options = { ...spec.generatorOptions, ...generator.options };
      const { labels, annotations, disableNameSuffixHash = false, immutable } = options;
      const encoded = kind === "Secret" ? mapValues(data, (text) => Buffer.from(text).toString("base64")) : data;
      const object: JsonObject = {
        apiVersion: "v1",
        kind,
        metadata: {
          name,
          ...(namespace === undefined ? {} : { namespace }),
          ...(labels === undefined ? {} : { labels }),
          ...(annotations === undefined ? {} : { annotations }),
        },
        ...(kind === "Secret" ? { type: type ?? "Opaque" } : {}),
        ...(immutable === undefined ? {} : { immutable }),
        data: encoded,
      };
      const draft = { object, file: reader.file, names: [name], isHashed: !disableNameSuffixHash };
      found.push({ draft, behavior });
    }
  return found;
}

/** Ours, not kustomize's: names differ from those that it gives, and change when it would change them. */
export function hashOf({ kind, data, type }: JsonObject): string {
  const sorted = Object.entries((data ?? {}) as Readonly<Record<string, string>>).toSorted(([one], [other]) =>
    one < other ? -1 : 1,
  );
  return createHash("sha256")
    .update(JSON.stringify([kind, type, sorted]))
    .digest("hex")
    .slice(0, 10);
}

async function dataOf(
  from: { readonly literals: readonly string[]; readonly files: readonly string[]; readonly envs: readonly string[] },
  { file, readText }: Reader,
): Promise<Readonly<Record<string, string>>> {
  const entries: (readonly [string, string])[] = [];
  for (const path of from.envs)
    for (const line of (await readText(path)).split("\n"))
      if (line.trim() !== "" && !line.startsWith("#")) entries.push(pairOf(line.trim(), file));
  for (const entry of from.files) {
    const [key, path] = entry.includes("=") ? pairOf(entry, file) : [basename(entry), entry];
    entries.push([key, await readText(path)]);
  }
  for (const literal of from.literals) {
    const [key, value] = pairOf(literal, file);
    entries.push([key, value.replace(/^(['"])(.*)\1$/s, "$2")]);
  }
  return Object.fromEntries(entries);
}

function pairOf(text: string, file: string): readonly [string, string] {
  const equals = text.indexOf("=");
  if (equals < 1) throw new DeployFailed(`${file}: a generator wants KEY=VALUE, not ${JSON.stringify(text)}`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

function mapValues(map: Readonly<Record<string, string>>, change: (text: string) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, change(value)]));
}
