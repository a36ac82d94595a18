/**
 * Patches of a kustomization: strategic merges (by the kinds' own rules; custom resources by plain merge) and lists of JSON patch operations, for the objects that a target names.
 */
import { loadKindFacts } from "#api/kind-facts-table.ts";
import { isJsonArray, isJsonObject, type JsonObject } from "#apimachinery/json.ts";
import { parseApiVersion } from "#apimachinery/meta.ts";
import { applyJsonPatch } from "#apimachinery/patch/json-patch.ts";
import { applyMergePatch } from "#apimachinery/patch/merge-patch.ts";
import { applyStrategicMergePatch } from "#apimachinery/patch/strategic-merge-patch.ts";
import { DeployFailed } from "#delivery/deploy/deploy-failed.ts";
import type { YamlFiles } from "#delivery/manifests/read-manifests.ts";
import type { Draft, Kustomization, PatchEntry, PatchTarget } from "./kustomization-types.ts";

type Reader = {
  readonly file: string;
  readonly files: YamlFiles;
  readonly readText: (path: string) => Promise<string>;
};

/** Throws {@link DeployFailed}. */
export async function applyPatches(
  manifests: readonly Draft[],
  spec: Kustomization,
  reader: Reader,
): Promise<readonly Draft[]> {
  const inline = (text: string): PatchEntry => (text.includes("\n") ? { patch: text } : { path: text });
  const entries = [
    ...(spec.patchesStrategicMerge ?? []).map(inline),
    ...(spec.patches ?? []),
    ...(spec.patchesJson6902 ?? []),
  ];
  let all = manifests;
  for (const entry of entries) {
    const text = entry.path === undefined ? (entry.patch ?? "") : await reader.readText(entry.path);
    all = await applyOne(all, text, entry, reader);
  }
  return all;
}

async function applyOne(
  manifests: readonly Draft[],
  text: string,
  { target, path, options }: PatchEntry,
  { file, files }: Reader,
): Promise<readonly Draft[]> {
  const where = path ?? file;
  const patches = await files.valuesOf(text, where);
  let all = manifests;
  for (const patch of patches) {
    if (isJsonArray(patch)) {
      if (target === undefined) throw new DeployFailed(`${where}: a list of operations wants a target`);
      all = change(all, target, where, (object) => applyJsonPatch(object, patch));
    } else if (isJsonObject(patch)) {
      const of = target ?? ownTarget(patch);
      const mayRename = options?.allowNameChange === true;
      all = change(all, of, where, (object) => keepName(object, merged(object, patch), mayRename));
    } else throw new DeployFailed(`${where} holds something that is no patch`);
  }
  return all;
}

/** What the patch is called is what it is for. */
function ownTarget({ kind, metadata }: JsonObject): PatchTarget {
  const name = isJsonObject(metadata) ? metadata["name"] : undefined;
  return { kind: String(kind), name: String(name) };
}

function change(
  manifests: readonly Draft[],
  target: PatchTarget,
  where: string,
  how: (object: JsonObject) => JsonObject,
): readonly Draft[] {
  let count = 0;
  const changed = manifests.map((manifest) => {
    if (!isTarget(manifest, target)) return manifest;
    count++;
    try {
      return { ...manifest, object: how(manifest.object) };
    } catch (cause) {
      throw new DeployFailed(`${where}: ${(cause as Error).message}`, { cause });
    }
  });
  if (count === 0) throw new DeployFailed(`${where}: the patch is for nothing that is there`);
  // `$patch: delete` leaves nothing of an object.
  return changed.filter(({ object }) => object["kind"] !== undefined);
}

function isTarget({ object, names }: Draft, target: PatchTarget): boolean {
  const { group, version } = parseApiVersion(String(object["apiVersion"]));
  const metadata = (object["metadata"] ?? {}) as {
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  const fits = (pattern: string | undefined, value: string) => {
    if (pattern === undefined || pattern === "" || pattern === value) return true;
    // A pattern of theirs could take for ever: only the simple ones are understood.
    if (!/^[\w.*|()-]*$/.test(pattern) || /[*)][*]|\)[*|]/.test(pattern) || pattern.length > 200) return false;
    return new RegExp(`^(?:${pattern})$`).test(value);
  };
  const hasLabels = (target.labelSelector ?? "")
    .split(",")
    .filter(Boolean)
    .every((one) => {
      const [key = "", value] = one.split(/={1,2}/);
      return value === undefined ? Object.hasOwn(metadata.labels ?? {}, key) : metadata.labels?.[key] === value;
    });
  return (
    hasLabels &&
    fits(target.group, group) &&
    fits(target.version, version) &&
    fits(target.kind, String(object["kind"])) &&
    names.some((name) => fits(target.name, name)) &&
    fits(target.namespace, metadata.namespace ?? "")
  );
}

function merged(object: JsonObject, patch: JsonObject): JsonObject {
  const { group, version } = parseApiVersion(String(object["apiVersion"]));
  const schema = loadKindFacts().schemaOf(group, version, String(object["kind"]));
  return schema === undefined ? applyMergePatch(object, patch) : applyStrategicMergePatch(object, patch, schema);
}

function keepName(before: JsonObject, after: JsonObject, mayChange: boolean): JsonObject {
  if (after["kind"] === undefined || mayChange) return after;
  const name = isJsonObject(before["metadata"]) ? before["metadata"]["name"] : undefined;
  const metadata = isJsonObject(after["metadata"]) ? after["metadata"] : {};
  return {
    ...after,
    apiVersion: before["apiVersion"] ?? null,
    kind: before["kind"] ?? null,
    metadata: { ...metadata, ...(name === undefined ? {} : { name }) },
  };
}
