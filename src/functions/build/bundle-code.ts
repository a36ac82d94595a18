/**
 * Bundles a function's TypeScript or JavaScript, with what it imports and what stands around its handler, to one module. Compilers' messages are given with file, line and column, as the author's editor shows them.
 */
import type { BuildContext, BuildFailure, BuildOptions, BuildResult, Message, Plugin } from "esbuild";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { builtinModules } from "node:module";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { BuildError } from "./build-error.ts";
import type { Esbuild } from "./esbuild.ts";
import { lineTableOf, type SourceMap } from "./line-table.ts";

/** What is bundled, and for which engine. */
export type CodeBundle = {
  readonly folder: string;
  /** Relative to the folder. */
  readonly entrypoint: string;
  readonly runtime: "isolate" | "node";
};

/** The modules of a bundle by their names; the first is the main one. */
export type BundledFiles = ReadonlyMap<string, Uint8Array>;

/** What a bundler gives: the files, and what it has to say that is no error. */
export type Bundled = { readonly files: BundledFiles; readonly warnings: readonly string[] };

/** Name of the main module. */
export const mainModule = "index.js";
const mapName = `${mainModule}.map`;
/** Says where lines of the main module come from; the isolates' provider knows it by this name. */
export const linesFile = "nodeless-lines.json";
const entryName = "nodeless-entry.ts";
const shimName = "nodeless:shim";
/** Most messages of a compiler that are passed on. */
const mostMessages = 20;
const builtins = new Set(builtinModules.filter((name) => !name.startsWith("_")));

/** Bundles once. Throws {@link BuildError}. */
export async function bundleCode(esbuild: Esbuild, bundle: CodeBundle): Promise<Bundled> {
  return await translated(bundle, async () =>
    bundledOf(bundle, await esbuild.build({ ...optionsOf(bundle), metafile: true, write: false })),
  );
}

/** Bundles again and again, each time with what did not change already parsed. */
export type Rebundler = {
  /** Throws {@link BuildError}. `inputs` are the files that were read, absolute. */
  readonly bundle: () => Promise<Bundled & { readonly inputs: readonly string[] }>;
  readonly dispose: () => Promise<void>;
};

/** A bundler for code that is being written. */
export async function createRebundler(esbuild: Esbuild, bundle: CodeBundle): Promise<Rebundler> {
  const options = { ...optionsOf(bundle), metafile: true, write: false } as const;
  const context = (await esbuild.context(options)) as BuildContext<typeof options>;
  return {
    bundle: () =>
      translated(bundle, async () => {
        const result = await context.rebuild();
        return { ...bundledOf(bundle, result), inputs: inputsOf(bundle, result) };
      }),
    dispose: () => context.dispose(),
  };
}

type Result = BuildResult<{ metafile: true; write: false }>;

function bundledOf(bundle: CodeBundle, result: Result): Bundled {
  refuseForeign(bundle, result);
  const files = result.outputFiles.map(({ path, contents }) =>
    basename(path) === mapName ? linesOf(contents) : ([basename(path), contents] as const),
  );
  // The main module first; others are what it imports as they are, such as WebAssembly.
  files.sort(([a], [b]) => Number(b === mainModule) - Number(a === mainModule) || (a < b ? -1 : 1));
  return { files: new Map(files), warnings: result.warnings.slice(0, mostMessages).map((message) => textOf(message)) };
}

/** What stands around the handler is not the author's, wherever it is. */
function linesOf(map: Uint8Array): readonly [string, Uint8Array] {
  const isOurs = (source: string) => source === entryName || source.startsWith("nodeless:") || source.startsWith("../");
  const table = lineTableOf(mainModule, JSON.parse(Buffer.from(map).toString("utf8")) as SourceMap, isOurs);
  return [linesFile, Buffer.from(JSON.stringify(table))];
}

function inputsOf({ folder }: CodeBundle, { metafile }: Result): readonly string[] {
  return Object.keys(metafile.inputs)
    .filter((name) => !name.includes(":") && !name.endsWith(entryName))
    .map((name) => resolve(folder, name));
}

/** Sources come from strangers: what they name outside of their folder is not theirs to publish. */
function refuseForeign(bundle: CodeBundle, result: Result): void {
  const allowed = [realpathSync(bundle.folder), dirname(shimFile(bundle.runtime))].map((folder) => `${folder}/`);
  for (const input of inputsOf(bundle, result)) {
    const real = realpathSync(input);
    if (allowed.some((folder) => real.startsWith(folder))) continue;
    const message = `${relative(bundle.folder, input)} is outside of the function's folder`;
    throw new BuildError({ stage: "build", reason: "OutsideOfSource", message });
  }
}

function optionsOf(bundle: CodeBundle): BuildOptions {
  const { folder, runtime } = bundle;
  const forIsolate = runtime === "isolate";
  return {
    absWorkingDir: folder,
    stdin: { contents: entrySource(bundle), resolveDir: folder, sourcefile: entryName, loader: "ts" },
    outfile: join(folder, mainModule),
    bundle: true,
    format: "esm",
    platform: forIsolate ? "browser" : "node",
    target: forIsolate ? "es2024" : "node22",
    conditions: forIsolate ? ["workerd", "worker", "browser"] : ["node"],
    mainFields: forIsolate ? ["browser", "module", "main"] : ["module", "main"],
    define: { "process.env.NODE_ENV": '"production"' },
    jsx: "automatic",
    charset: "utf8",
    legalComments: "none",
    ...(forIsolate
      ? { sourcemap: "external", sourcesContent: false }
      : { sourcemap: "inline", banner: { js: requireBanner } }),
    loader: {
      ".wasm": forIsolate ? "copy" : "binary",
      ".txt": "text",
      ".html": "text",
      ".sql": "text",
      ".md": "text",
      ".svg": "text",
      ".xml": "text",
      ".css": "text",
      ".bin": "binary",
    },
    assetNames: "[name]-[hash]",
    logLevel: "silent",
    logLimit: mostMessages,
    plugins: [shimPlugin(runtime), ...(forIsolate ? [builtinsPlugin] : [])],
  };
}

/** CommonJS packages that are bundled into a module ask for require(). */
const requireBanner =
  'import { createRequire as nodelessRequire } from "node:module"; const require = nodelessRequire(import.meta.url);';

function entrySource({ entrypoint, runtime }: CodeBundle): string {
  const [shim, file] = [JSON.stringify(shimName), JSON.stringify(`./${entrypoint}`)];
  // The shim first: the console speaks for invocations before the author's module may keep it.
  if (runtime === "node")
    return `import { serveNode } from ${shim};\nimport * as module from ${file};\nserveNode(module, ${JSON.stringify(entrypoint)});\n`;
  return `import { serveIsolate } from ${shim};\nimport * as module from ${file};\nexport * from ${file};\nexport default serveIsolate(module, ${JSON.stringify(entrypoint)});\n`;
}

/** What stands around handlers: beside this file in the sources, beside the program in the bundle. */
function shimFile(runtime: CodeBundle["runtime"]): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const [source, built] = runtime === "node" ? ["node-server", "function-node"] : ["isolate-entry", "function-isolate"];
  const places = [
    resolve(here, `../runtimes/${source}.ts`),
    join(here, `${built}.js`),
    resolve(here, `../${built}.js`),
  ];
  return places.find((path) => existsSync(path)) ?? places[0]!;
}

/** Under a name of its own: where nodeless is installed is nobody's affair, and must not change a digest. */
function shimPlugin(runtime: CodeBundle["runtime"]): Plugin {
  return {
    name: "shim",
    setup(build) {
      const file = shimFile(runtime);
      build.onResolve({ filter: /^nodeless:shim$/ }, () => ({ path: "shim", namespace: "nodeless" }));
      build.onLoad({ filter: /.*/, namespace: "nodeless" }, () => ({
        contents: readFileSync(file, "utf8"),
        loader: "ts",
        resolveDir: dirname(file),
      }));
    },
  };
}

/** Node's own modules, however they are asked for: workerd has them under "node:", as modules. */
const builtinsPlugin: Plugin = {
  name: "builtins",
  setup(build) {
    build.onResolve({ filter: /^(node|cloudflare):/ }, ({ path, kind }) =>
      kind === "require-call" ? { path, namespace: "required-builtin" } : { path, external: true },
    );
    build.onResolve({ filter: /^[a-z_]+(\/[a-z_]+)?$/ }, ({ path, kind, resolveDir }) => {
      if (!builtins.has(path) || isInstalled(path, resolveDir)) return undefined;
      return kind === "require-call"
        ? { path: `node:${path}`, namespace: "required-builtin" }
        : { path: `node:${path}`, external: true };
    });
    build.onLoad({ filter: /.*/, namespace: "required-builtin" }, ({ path }) => ({
      contents: `import builtin from ${JSON.stringify(path)}; module.exports = builtin;`,
      loader: "js",
    }));
  },
};

/** A package of that name ("buffer", "events") in some node_modules above goes before Node's own. */
function isInstalled(name: string, folder: string): boolean {
  for (let at = folder; ; at = dirname(at)) {
    if (existsSync(join(at, "node_modules", name, "package.json"))) return true;
    if (at === dirname(at)) return false;
  }
}

async function translated<T>(bundle: CodeBundle, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isCompilerFailure(error)) throw error;
    const lines = error.errors.slice(0, mostMessages).map((message) => textOf(message));
    const more = error.errors.length - lines.length;
    if (more > 0) lines.push(`and ${more} more`);
    const message = lines.join("\n").replaceAll(`${bundle.folder}/`, "");
    throw new BuildError({ stage: "build", reason: "DoesNotCompile", message }, { cause: error });
  }
}

function isCompilerFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && "errors" in error && Array.isArray(error.errors);
}

/** `index.ts:3:7: Expected ";" but found "x"`, with the line that it is about. */
function textOf({ text, location }: Message): string {
  const said = firstLine(text);
  const missing = /^Could not resolve "([^./"][^"]*)"/.exec(said)?.[1];
  const hint = missing === undefined ? [] : [`  no node_modules has ${missing}: is it a dependency in package.json?`];
  if (location === null) return [said, ...hint].join("\n");
  const { file, line, column, lineText } = location;
  const where = `${isAbsolute(file) ? basename(file) : file}:${line}:${column + 1}`;
  const shown = lineText.trim().slice(0, 160);
  return [`${where}: ${said}`, ...(shown === "" ? [] : [`    ${shown}`]), ...hint].join("\n");
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
