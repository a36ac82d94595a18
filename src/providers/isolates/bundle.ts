/**
 * A bundle: the modules of an isolate, read from an image's layers and from what is mounted at /bundle. The extension says what a module is, TypeScript loses its types
 * on the way. Files come from strangers: links that lead out of their folder are left out.
 */
import { lstatSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { extname, join } from "node:path";
import { ContainerError, type ContainerMount } from "#kubelet/container-runtime.ts";
import type { IsolateCode, ModuleContent } from "./loader.ts";
import { linesFile } from "./stack-source.ts";

/** Files by their path in the bundle: "lib/util.js". */
export type BundleFiles = ReadonlyMap<string, Uint8Array>;

/** Where bundles come from that no image holds. */
export const bundleMountPath = "/bundle";

/** Most bytes of all modules together. They are held in memory while they are read, and again by the engine. */
const mostBytes = 64 * 1024 * 1024;
/** Most files, folders counted: what is mounted may be all of a disk. */
const mostEntries = 10_000;
/** What bundles get that choose nothing: Node's modules beside the web's. Node's timers come when they are first used (worker-sources.ts). */
const defaultFlags = ["nodejs_compat", "no_nodejs_global_timers"];
/** From this compatibility date on nodejs_compat has Node's timers as globals. */
const nodeTimersDate = "2026-02-10";
const mainNames = ["index.js", "index.mjs", "index.ts", "worker.js"];
const textExtensions = [".txt", ".html", ".css", ".svg", ".xml", ".md", ".yaml", ".yml", ".toml", ".sql"];

/** Files of an image: its layers, lowest first. A file that a higher layer deletes is gone. */
export function readLayers(folders: readonly string[]): BundleFiles {
  const files = new FileCollector();
  for (const folder of folders) addFolder(files, folder, realpathSync(folder), "");
  return files.found;
}

/** Files that are mounted at or below /bundle. */
export function readMounts(mounts: readonly ContainerMount[]): BundleFiles {
  const files = new FileCollector();
  for (const { hostPath, containerPath } of mounts) {
    if (!isBundlePath(containerPath)) continue;
    const name = containerPath.slice(bundleMountPath.length).replace(/^\/+|\/+$/g, "");
    if (statSync(hostPath).isDirectory()) addFolder(files, hostPath, realpathSync(hostPath), name);
    else files.add(name, hostPath);
  }
  return files.found;
}

export function isBundlePath(path: string): boolean {
  return path === bundleMountPath || path.startsWith(`${bundleMountPath}/`);
}

/** The code as it is posted. `newestDate` holds where the bundle's package.json names no date. Throws {@link ContainerError}. */
export function codeOf(files: BundleFiles, env: IsolateCode["env"], newestDate: string): IsolateCode {
  const description = readDescription(files.get("package.json"));
  const mainModule = [description.main?.replace(/^\.\//, ""), ...mainNames].find(
    (name) => name !== undefined && files.has(name),
  );
  if (mainModule === undefined)
    throw refused(`it has none of ${mainNames.join(", ")}, and no package.json names its main module`);
  const lines = files.get(linesFile);
  const modules = [...files]
    .filter(([name]) => name !== linesFile)
    .map(([name, bytes]) => [name, moduleOf(name, bytes)] as const);
  const { compatibilityDate = newestDate, compatibilityFlags, outbound } = description.nodeless ?? {};
  return {
    compatibilityDate,
    compatibilityFlags: compatibilityFlags ?? defaultFlags,
    lazyTimers: compatibilityFlags === undefined && compatibilityDate >= nodeTimersDate,
    mainModule,
    ...(lines === undefined ? {} : { lines: Buffer.from(lines).toString("utf8") }),
    modules: Object.fromEntries(modules),
    env,
    ...(outbound === undefined ? {} : { outbound: { allow: allowedOf(outbound) } }),
  };
}

type Description = {
  readonly main?: string;
  readonly nodeless?: {
    readonly compatibilityDate?: string;
    readonly compatibilityFlags?: readonly string[];
    readonly outbound?: { readonly allow?: readonly string[] };
  };
};

/** A rule that is not understood must not be taken for none. */
function allowedOf({ allow }: { readonly allow?: readonly string[] }): readonly string[] {
  if (Array.isArray(allow) && allow.every((one) => typeof one === "string")) return allow;
  throw refused('outbound in its package.json has no list "allow"');
}

function readDescription(bytes: Uint8Array | undefined): Description {
  if (bytes === undefined) return {};
  const value = parseJson("package.json", bytes);
  return value !== null && typeof value === "object" ? value : {};
}

function moduleOf(name: string, bytes: Uint8Array): ModuleContent {
  const text = () => Buffer.from(bytes).toString("utf8");
  const extension = extname(name).toLowerCase();
  if ([".js", ".mjs"].includes(extension)) return { js: text() };
  if (extension === ".cjs") return { cjs: text() };
  if ([".ts", ".mts"].includes(extension)) return { js: withoutTypes(name, text()) };
  if (extension === ".json") return { json: parseJson(name, bytes) };
  if (extension === ".wasm") return { wasm: Buffer.from(bytes).toString("base64") };
  if (textExtensions.includes(extension)) return { text: text() };
  return { data: Buffer.from(bytes).toString("base64") };
}

function withoutTypes(name: string, text: string): string {
  try {
    return stripTypeScriptTypes(text);
  } catch (cause) {
    throw refused(`${name}: ${(cause as Error).message}`, cause);
  }
}

function parseJson(name: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw refused(`${name} is not JSON: ${(cause as Error).message}`, cause);
  }
}

/** Reads no more than a bundle may have. */
class FileCollector {
  readonly found = new Map<string, Uint8Array>();
  #bytes = 0;
  #entries = 0;

  add(name: string, path: string): void {
    this.#bytes += statSync(path).size;
    if (this.#bytes > mostBytes) throw refused(`its files have more than the ${mostBytes} bytes that are allowed`);
    this.found.set(name, readFileSync(path));
  }

  /** A file or folder was come across, whether it is taken or not. */
  count(): void {
    this.#entries++;
    if (this.#entries > mostEntries) throw refused(`it has more than the ${mostEntries} files that are allowed`);
  }

  remove(name: string): void {
    for (const known of this.found.keys()) if (known === name || known.startsWith(`${name}/`)) this.found.delete(known);
  }
}

function addFolder(files: FileCollector, folder: string, root: string, prefix: string): void {
  for (const entry of readdirSync(folder)) {
    files.count();
    // The kubelet's volumes are links into folders whose names begin so.
    if (entry.startsWith("..")) continue;
    const path = join(folder, entry);
    const name = prefix === "" ? entry : `${prefix}/${entry}`;
    // Overlayfs' sign for a deleted file.
    if (lstatSync(path).isCharacterDevice()) files.remove(name);
    else addEntry(files, path, root, name);
  }
}

function addEntry(files: FileCollector, path: string, root: string, name: string): void {
  const real = realpathOf(path);
  if (real === undefined || !real.startsWith(`${root}/`)) return;
  const stats = statSync(real);
  if (stats.isFile()) files.add(name, real);
  // A link to a folder could lead round in a circle.
  else if (stats.isDirectory() && !lstatSync(path).isSymbolicLink()) addFolder(files, path, root, name);
}

function realpathOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

function refused(why: string, cause?: unknown): ContainerError {
  return new ContainerError("CreateContainerError", `the bundle cannot be run: ${why}`, { cause });
}
