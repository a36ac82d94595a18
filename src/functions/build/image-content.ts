/**
 * What a function's image is made of, per runtime: files laid onto a base, or onto nothing for isolates.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ImageBuild } from "#images/build/build-image.ts";
import { pythonServer } from "#functions/runtimes/python-server.ts";
import { bundleCode, linesFile, mainModule } from "./bundle-code.ts";
import { findPythonModule, findScript, readPackage } from "./entrypoint.ts";
import type { Esbuild } from "./esbuild.ts";
import { installNodePackages, installPythonPackages } from "./install-packages.ts";
import type { BuildJob } from "./job.ts";
import type { LineSink } from "./tool.ts";

/** What it is made from. */
export type ContentOptions = {
  readonly job: Pick<BuildJob, "runtime" | "entrypoint" | "outbound" | "bases" | "user">;
  /** The source. */
  readonly folder: string;
  /** A folder for what is made on the way. */
  readonly scratch: string;
  readonly home: string;
  readonly esbuild: () => Promise<Esbuild>;
  readonly say: LineSink;
};

/** An image to be built. */
export type ImageContent = Pick<ImageBuild, "base" | "layers" | "config">;

/** Nobody: code needs no rights. */
const user = "65534:65534";
const appFolder = "/app";
/** Of our own files beside the author's. */
const ownFolder = ".nodeless";

/** Bundles, installs, and says what goes where. Throws BuildError. */
export async function imageContent(options: ContentOptions): Promise<ImageContent> {
  const { runtime } = options.job;
  if (runtime === "python") return await pythonContent(options);
  return runtime === "node" ? await nodeContent(options) : await isolateContent(options);
}

async function bundled(options: ContentOptions, runtime: "isolate" | "node"): Promise<ReadonlyMap<string, Uint8Array>> {
  const { folder, home, say, job } = options;
  const entrypoint = findScript(folder, job.entrypoint);
  await installNodePackages({ folder, home, user: job.user, say });
  say(`Bundling ${entrypoint}`);
  const { files, warnings } = await bundleCode(await options.esbuild(), { folder, entrypoint, runtime });
  for (const warning of warnings) say(`warning: ${warning}`);
  const modules = [...files].filter(([name]) => name !== linesFile).map(([, bytes]) => bytes.length);
  const bytes = modules.reduce((sum, length) => sum + length, 0);
  say(`Bundled ${sizeOf(bytes)} in ${modules.length} ${modules.length === 1 ? "module" : "modules"}`);
  return files;
}

async function isolateContent(options: ContentOptions): Promise<ImageContent> {
  const files = await bundled(options, "isolate");
  const description = { main: mainModule, nodeless: isolateSettings(options) };
  const contents = [...files].map(([path, content]) => ({ path, content }));
  return {
    layers: [{ files: [...contents, { path: "package.json", content: JSON.stringify(description) }] }],
    config: { user },
  };
}

/** What the author's package.json says of the engine, with what the function's log needs and what the code may reach. */
function isolateSettings({ folder, job }: ContentOptions): object {
  const { compatibilityDate, compatibilityFlags } = readPackage(folder).nodeless ?? {};
  const hasStorage = compatibilityFlags?.some((flag) => ["nodejs_compat", "nodejs_als"].includes(flag)) ?? true;
  return {
    ...(compatibilityDate === undefined ? {} : { compatibilityDate }),
    ...(compatibilityFlags === undefined
      ? {}
      : { compatibilityFlags: [...compatibilityFlags, ...(hasStorage ? [] : ["nodejs_als"])] }),
    ...(job.outbound === undefined ? {} : { outbound: { allow: job.outbound } }),
  };
}

async function nodeContent(options: ContentOptions): Promise<ImageContent> {
  const files = await bundled(options, "node");
  const program = `${ownFolder}/function.mjs`;
  const contents = [...files].map(([path, content]) => ({ path: path === mainModule ? program : path, content }));
  return {
    base: options.job.bases.node,
    layers: [
      // What the code reads from its folder is there; packages are in the bundle.
      {
        folder: options.folder,
        at: appFolder,
        modes: "plain",
        isLeftOut: (path) => leftOut.test(path),
        files: contents,
      },
    ],
    config: {
      entrypoint: ["node", "--enable-source-maps", `${appFolder}/${program}`],
      cmd: [],
      env: { NODE_ENV: "production" },
      workingDir: appFolder,
      user,
    },
  };
}

async function pythonContent({ folder, scratch, home, say, job }: ContentOptions): Promise<ImageContent> {
  const { file, name } = findPythonModule(folder, job.entrypoint);
  const packages = join(scratch, "packages");
  await installPythonPackages({ folder, home, user: job.user, say }, packages);
  const server = `${ownFolder}/server.py`;
  const vendored = `${appFolder}/${ownFolder}/packages`;
  return {
    base: job.bases.python,
    layers: [
      // Packages change seldom: a layer of their own stays the same.
      ...(existsSync(packages) ? [{ folder: packages, at: vendored, modes: "plain" as const }] : []),
      {
        folder,
        at: appFolder,
        modes: "plain",
        isLeftOut: (path) => leftOut.test(path),
        files: [{ path: server, content: pythonServer }],
      },
    ],
    config: {
      entrypoint: ["python3", `${appFolder}/${server}`, `${appFolder}/${file}`, name],
      cmd: [],
      env: { PYTHONPATH: `${appFolder}:${vendored}`, PYTHONUNBUFFERED: "1", PYTHONDONTWRITEBYTECODE: "1" },
      workingDir: appFolder,
      user,
    },
  };
}

const leftOut = /(^|\/)(node_modules|__pycache__|\.git|\.venv)$/;

function sizeOf(bytes: number): string {
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
