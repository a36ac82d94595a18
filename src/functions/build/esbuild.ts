/**
 * esbuild, loaded when something is bundled. Its program comes from the npm package of the platform, which has no install script; the library that speaks to it looks for it where a variable says.
 */
import { createRequire } from "node:module";
import { BuildError } from "./build-error.ts";

export type Esbuild = typeof import("esbuild");

const variable = "ESBUILD_BINARY_PATH";

/** Where its program is. Throws {@link BuildError} where there is none for this machine. */
export function findEsbuild(): string {
  const name = `@esbuild/linux-${process.arch}`;
  try {
    return createRequire(import.meta.url).resolve(`${name}/bin/esbuild`);
  } catch (cause) {
    const message = `TypeScript and JavaScript cannot be bundled on this machine: the package ${name} is not installed`;
    throw new BuildError({ stage: "build", reason: "BundlerMissing", message }, { cause });
  }
}

/** The library, with its program at `path`. The program is started with the first build, as who this process is then. */
export async function loadEsbuild(path: string = findEsbuild()): Promise<Esbuild> {
  process.env[variable] = path;
  const loaded = (await import("esbuild")) as Esbuild & { readonly default?: Esbuild };
  // Bundled it is a CommonJS module without names.
  return loaded.default ?? loaded;
}
