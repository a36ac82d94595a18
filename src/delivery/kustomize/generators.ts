/**
 * ConfigMaps and Secrets of literals and files. Their names end in a hash of what they hold, so that who uses them is rolled out anew when that changes.
 */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import type { JsonObject } from "#apimachinery/json.ts";
import { DeployFailed } from "#delivery/deploy/deploy-failed.ts";
import type { Manifest } from "#delivery/manifests/read-manifests.ts";
import type { Kustomization } from "./kustomization-types.ts";

export type Generated = {
  readonly manifests: readonly Manifest[];
  readonly behaviors: ReadonlyMap<Manifest, "create" | "replace" | "merge">;
  /** What its name ends in; undefined for what was not generated. */
  readonly hashOf: (manifest: Manifest) => string | undefined;
};

type Reader = { readonly file: string; readonly readText: (path: string) => Promise<string> };

/** Throws {@link DeployFailed}. */
export async function generate(spec: Kustomization, reader: Reader): Promise<Generated> {
  const behaviors = new Map<Manifest, "create" | "replace" | "merge">();
  const hashed = new Set<string>();
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
      behaviors.set({ object, file: reader.file }, behavior);
      if (!disableNameSuffixHash) hashed.add(`${kind} ${name}`);
    }
  return {
    manifests: [...behaviors.keys()],
    behaviors,
    hashOf: ({ object, file }) => {
      const name = (object["metadata"] as { readonly name?: string } | undefined)?.name ?? "";
      return file === reader.file && hashed.has(`${String(object["kind"])} ${name}`) ? hashOf(object) : undefined;
    },
  };
}

/** Ours, not kustomize's: names differ from those that it gives, and change when it would change them. */
function hashOf({ kind, data, type }: JsonObject): string {
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
