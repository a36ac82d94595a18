/**
 * Finds the file with a function's handler: the one that is named, else the one that its package.json names, else the usual ones.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join, normalize } from "node:path";
import { BuildError } from "./build-error.ts";

const extensions = ["ts", "js", "mjs", "mts", "tsx", "jsx"];
const scriptNames = ["index", "src/index", "worker", "src/worker", "main", "src/main", "function", "handler"].flatMap(
  (name) => extensions.map((extension) => `${name}.${extension}`),
);
const pythonNames = ["main.py", "app.py", "function.py", "handler.py", "func.py"];

/** What a function's package.json says that matters here. */
export type PackageDescription = {
  readonly main?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly nodeless?: { readonly compatibilityDate?: string; readonly compatibilityFlags?: readonly string[] };
};

/** The script, relative to the folder. Throws {@link BuildError}. */
export function findScript(folder: string, given: string | undefined): string {
  const { main } = readPackage(folder);
  return find(
    folder,
    given,
    [...(main === undefined ? [] : [main]), ...scriptNames],
    "index.ts, index.js, src/index.ts",
  );
}

/** The Python module, relative to the folder, and the name in it, "" for the usual ones. Throws {@link BuildError}. */
export function findPythonModule(
  folder: string,
  given: string | undefined,
): { readonly file: string; readonly name: string } {
  const [file, name = ""] = (given ?? "").split(":");
  return { file: find(folder, file === "" ? undefined : file, pythonNames, pythonNames.join(", ")), name };
}

/** Its package.json, {} where there is none. Throws {@link BuildError} for one that is not JSON. */
export function readPackage(folder: string): PackageDescription {
  const path = join(folder, "package.json");
  if (!existsSync(path)) return {};
  try {
    const parsed = JSON.parse(readFileSync(path, "utf8")) as unknown;
    return typeof parsed === "object" && parsed !== null ? parsed : {};
  } catch (cause) {
    const message = `package.json is not JSON: ${(cause as Error).message}`;
    throw new BuildError({ stage: "build", reason: "PackageInvalid", message }, { cause });
  }
}

function find(folder: string, given: string | undefined, usual: readonly string[], shown: string): string {
  const isThere = (name: string) => statSync(join(folder, name), { throwIfNoEntry: false })?.isFile() === true;
  if (given !== undefined) {
    const name = normalize(given);
    if (!name.startsWith("../") && isThere(name)) return name;
    throw missing(`the entrypoint ${given} is not there`);
  }
  const found = usual.map((name) => normalize(name)).find((name) => !name.startsWith("../") && isThere(name));
  if (found === undefined)
    throw missing(`no entrypoint was found: there is none of ${shown}; name it by spec.entrypoint`);
  return found;
}

function missing(message: string): BuildError {
  return new BuildError({ stage: "build", reason: "EntrypointMissing", message });
}
