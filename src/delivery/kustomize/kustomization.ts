/**
 * Builds a kustomization: what its resources, generators, patches and transformers come to. The fields that people use, in kustomize's order; one that is not known here is refused
 * by name, since what is left out in silence would be deployed wrongly. Nothing outside the tree is read: no URLs, no `../` beyond the root.
 */
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join, normalize } from "node:path";
import { isJsonObject, type JsonObject } from "#apimachinery/json.ts";
import { DeployFailed } from "#delivery/deploy/deploy-failed.ts";
import type { Manifest, YamlFiles } from "#delivery/manifests/read-manifests.ts";
import { generate, type Generated, hashOf } from "./generators.ts";
import type { Draft, Kustomization } from "./kustomization-types.ts";
import { applyPatches } from "./patches.ts";
import { renameReferences, type Renaming } from "./references.ts";
import { transform } from "./transformers.ts";

const names = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
const known: ReadonlySet<string> = new Set([
  "apiVersion",
  "kind",
  "metadata",
  "resources",
  "bases",
  "components",
  "namespace",
  "namePrefix",
  "nameSuffix",
  "labels",
  "commonLabels",
  "commonAnnotations",
  "images",
  "replicas",
  "configMapGenerator",
  "secretGenerator",
  "generatorOptions",
  "patches",
  "patchesStrategicMerge",
  "patchesJson6902",
]);
const mostDepth = 16;

/** What the folder's kustomization comes to. Throws {@link DeployFailed}. */
export async function buildKustomization(files: YamlFiles, folder: string): Promise<readonly Manifest[]> {
  const drafts = await build(files, folder, [], 0);
  const renamings: Renaming[] = [];
  const named = drafts.map((draft) => (draft.isHashed ? withHash(draft, renamings) : draft));
  return renameReferences(named, renamings).map(({ object, file }) => ({ object, file }));
}

/** Last of all: an overlay may have added to what its base generates. */
function withHash(draft: Draft, renamings: Renaming[]): Draft {
  const metadata = isJsonObject(draft.object["metadata"]) ? draft.object["metadata"] : {};
  const from = String(metadata["name"]);
  const name = `${from}-${hashOf(draft.object)}`;
  renamings.push({ kind: String(draft.object["kind"]), from, to: name });
  return { ...draft, object: { ...draft.object, metadata: { ...metadata, name } } };
}

async function build(
  files: YamlFiles,
  folder: string,
  given: readonly Draft[],
  depth: number,
): Promise<readonly Draft[]> {
  if (depth > mostDepth) throw new DeployFailed(`${folder}: kustomizations lead in a circle`);
  const { file, spec } = await read(files, folder);
  const path = (relative: string) => inside(folder, relative, file);
  let drafts = given;
  for (const entry of [...(spec.resources ?? []), ...(spec.bases ?? [])])
    drafts = [...drafts, ...(await readResource(files, path(entry), entry, file, depth))];
  for (const entry of spec.components ?? []) drafts = await build(files, path(entry), drafts, depth + 1);
  const readText = async (relative: string) => await readInside(files, path(relative), relative, file);
  drafts = merge(drafts, await generate(spec, { file, readText }));
  drafts = await applyPatches(drafts, spec, { file, readText, files });
  const accounts = new Set(
    drafts.flatMap(({ object, names: all }) => (object["kind"] === "ServiceAccount" ? all : [])),
  );
  const renamings: Renaming[] = [];
  const transformed = drafts.map((draft) => transform(draft, spec, { renamings, accounts }));
  return renameReferences(transformed, renamings);
}

async function readResource(
  files: YamlFiles,
  path: string,
  entry: string,
  file: string,
  depth: number,
): Promise<readonly Draft[]> {
  // What is wrong with it is said by reading it.
  const found = await stat(join(files.root, path)).catch(() => undefined);
  if (found?.isDirectory() === true) return await build(files, path, [], depth + 1);
  const manifests = await files.manifestsOf(await readInside(files, path, entry, file), path);
  return manifests.map((manifest) => ({ ...manifest, names: [nameOf(manifest.object)], isHashed: false }));
}

async function read(
  files: YamlFiles,
  folder: string,
): Promise<{ readonly file: string; readonly spec: Kustomization }> {
  const name = names.find((candidate) => existsSync(join(files.root, folder, candidate)));
  if (name === undefined) throw new DeployFailed(`${folder} has no kustomization.yaml`);
  const file = join(folder, name);
  const [document = {}, ...more] = await files.mapsOf(await files.text(file), file);
  if (more.length > 0) throw new DeployFailed(`${file} holds more than one document`);
  const strange = Object.keys(document).find((key) => !known.has(key));
  if (strange !== undefined) throw new DeployFailed(`${file}: the field ${JSON.stringify(strange)} is not known here`);
  refuseShapes(document, file);
  return { file, spec: document as Kustomization };
}

function refuseShapes(document: JsonObject, file: string): void {
  const lists = ["resources", "bases", "components", "labels", "images", "replicas", "configMapGenerator"];
  for (const key of [...lists, "secretGenerator", "patches", "patchesStrategicMerge", "patchesJson6902"])
    if (document[key] !== undefined && document[key] !== null && !Array.isArray(document[key]))
      throw new DeployFailed(`${file}: ${key} must be a list`);
  for (const key of ["commonLabels", "commonAnnotations", "generatorOptions"])
    if (document[key] !== undefined && document[key] !== null && !isJsonObject(document[key]))
      throw new DeployFailed(`${file}: ${key} must be a map`);
}

/** A path in the tree. Throws {@link DeployFailed} for one that leads out of it, and for URLs. */
function inside(folder: string, relative: string, file: string): string {
  if (typeof relative !== "string") throw new DeployFailed(`${file}: a path must be text`);
  if (/^[a-z+]+:\/\/|^git@|[?]ref=|^github\.com\//.test(relative))
    throw new DeployFailed(`${file}: ${relative} is not in the repository; only what is pushed is deployed`);
  const path = normalize(join(folder, relative)).replace(/\/$/, "");
  if (path.startsWith("/") || path === ".." || path.startsWith("../") || relative.startsWith("/"))
    throw new DeployFailed(`${file}: ${relative} leads out of the tree`);
  return path;
}

async function readInside(files: YamlFiles, path: string, entry: string, file: string): Promise<string> {
  try {
    return await files.text(path);
  } catch (cause) {
    throw new DeployFailed(`${file}: there is no ${entry}`, { cause });
  }
}

/** Generated objects take the place of those before them where they say so. */
function merge(drafts: readonly Draft[], generated: readonly Generated[]): readonly Draft[] {
  let all = drafts;
  for (const { draft, behavior } of generated) {
    const { object, file } = draft;
    const [kind, name] = [String(object["kind"]), nameOf(object)];
    const same = all.find((other) => other.object["kind"] === kind && other.names.includes(name));
    if (behavior === "create") {
      if (same !== undefined) throw new DeployFailed(`${file}: ${kind} ${name} is there already`);
      all = [...all, draft];
      continue;
    }
    if (same === undefined) throw new DeployFailed(`${file}: there is no ${kind} ${name} to ${behavior}`);
    const before = behavior === "merge" && isJsonObject(same.object["data"]) ? same.object["data"] : {};
    const data = { ...before, ...(object["data"] as JsonObject) };
    all = all.map((other) => (other === same ? { ...same, object: { ...same.object, data } } : other));
  }
  return all;
}

function nameOf({ metadata }: JsonObject): string {
  return isJsonObject(metadata) ? String(metadata["name"]) : "";
}
