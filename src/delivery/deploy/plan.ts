/**
 * What a tree holds: one function, several in folders of their own, or manifests. Decided by the names of its files, as `nodeless fn deploy` and kubectl take them.
 */
import { basename, dirname } from "node:path";
import { functionFile } from "#api/nodeless/function.ts";
import { DeployFailed } from "./deploy-failed.ts";

/** A function's folder, relative to the tree's; "" for the tree itself. */
export type FunctionFolder = { readonly folder: string; readonly isOnly: boolean };

export type Plan = {
  readonly functions: readonly FunctionFolder[];
  /** A folder with a kustomization, or files with objects. */
  readonly manifests:
    | { readonly kind: "kustomization"; readonly folder: string }
    | { readonly kind: "files"; readonly files: readonly string[] }
    | undefined;
};

/** Says what a pipeline has beyond building; see steps. */
export const pipelineFiles: readonly string[] = ["nodeless.yaml", ".nodeless.yaml"];

const kustomizations = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/** Folders of manifests beside functions. */
const manifestFolders = ["manifests", "k8s", "deploy"];
const entrypoints =
  /^(?:src\/)?(?:index|worker|main|function|handler)\.(?:ts|js|mjs|mts|tsx|jsx)$|^(?:main|app|function|handler|func)\.py$/;
/** Other tools' own files, which look like manifests and are none. */
const foreign =
  /^(?:package|package-lock|tsconfig|biome|composer|deno|renovate|docker-compose|compose|pnpm-lock|mkdocs)[^/]*\.(?:ya?ml|json)$/;

/** Throws {@link DeployFailed} for a tree that holds nothing of all this. */
export function planOf(paths: readonly string[]): Plan {
  const all = new Set(paths);
  if (isFunction(all, "")) return { functions: [{ folder: "", isOnly: true }], manifests: undefined };
  const folders = functionFolders(all);
  const manifests = manifestsOf(all);
  if (folders.length === 0 && manifests === undefined)
    throw new DeployFailed(
      "there is nothing to deploy: neither a function (function.yaml, a Dockerfile, index.ts, main.py, …; also in folders of their own), nor a kustomization, nor manifests",
    );
  return { functions: folders.map((folder) => ({ folder, isOnly: false })), manifests };
}

function isFunction(all: ReadonlySet<string>, folder: string): boolean {
  const prefix = folder === "" ? "" : `${folder}/`;
  if (all.has(`${prefix}${functionFile}`) || all.has(`${prefix}Dockerfile`)) return true;
  return [...all].some((path) => path.startsWith(prefix) && entrypoints.test(path.slice(prefix.length)));
}

/** Folders at the top, and in `functions`. What is below a function is its own. */
function functionFolders(all: ReadonlySet<string>): readonly string[] {
  const tops = new Set<string>();
  for (const path of all) {
    const [first = "", second = "", ...rest] = path.split("/");
    if (first === "functions" && rest.length > 0) tops.add(`functions/${second}`);
    else if (second !== "") tops.add(first);
  }
  return [...tops]
    .filter((folder) => !basename(folder).startsWith(".") && folder !== "functions" && isFunction(all, folder))
    .toSorted();
}

function manifestsOf(all: ReadonlySet<string>): Plan["manifests"] {
  for (const folder of ["", ...manifestFolders]) {
    const prefix = folder === "" ? "" : `${folder}/`;
    if (kustomizations.some((name) => all.has(`${prefix}${name}`))) return { kind: "kustomization", folder };
    const files = [...all].filter((path) => isManifest(path, folder)).toSorted();
    if (files.length > 0) return { kind: "files", files };
  }
  return undefined;
}

function isManifest(path: string, folder: string): boolean {
  const name = basename(path);
  const isHere = dirname(path) === (folder === "" ? "." : folder);
  return (
    isHere &&
    /\.(?:ya?ml|json)$/.test(name) &&
    !pipelineFiles.includes(name) &&
    !name.startsWith(".") &&
    !foreign.test(name)
  );
}
