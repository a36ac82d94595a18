/**
 * Brings the packages that a source names and does not have: with npm for JavaScript, with pip for Python. Nothing of them is run: no install scripts, no source distributions.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "./build-error.ts";
import { readPackage } from "./entrypoint.ts";
import { type LineSink, runTool, toolEnvironment, ToolFailed, ToolMissing } from "./tool.ts";

export type InstallOptions = {
  readonly folder: string;
  readonly home: string;
  readonly user: number | undefined;
  readonly say: LineSink;
};

const npmFlags = ["--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--no-progress"];

/** Runs npm when package.json has dependencies and node_modules is missing. Throws {@link BuildError}. */
export async function installNodePackages({ folder, home, user, say }: InstallOptions): Promise<void> {
  const names = Object.keys(readPackage(folder).dependencies ?? {});
  if (names.length === 0 || existsSync(join(folder, "node_modules"))) return;
  const isLocked = ["package-lock.json", "npm-shrinkwrap.json"].some((name) => existsSync(join(folder, name)));
  const verb = isLocked ? "ci" : "install";
  say(`Running npm ${verb} for ${names.length} ${names.length === 1 ? "dependency" : "dependencies"}`);
  const environment = {
    ...toolEnvironment(home),
    npm_config_cache: join(home, "npm-cache"),
    npm_config_update_notifier: "false",
  };
  await running(
    ["npm", verb, ...npmFlags],
    { cwd: folder, environment, user, say },
    {
      missing: `package.json names packages (${names.slice(0, 5).join(", ")}), node_modules is not there, and npm is not on this machine: install them and deploy with node_modules`,
      failed: "npm could not install the packages",
    },
  );
}

/** Vendors what requirements.txt names into `target`; gives whether there was anything. Throws {@link BuildError}. */
export async function installPythonPackages(
  { folder, home, user, say }: InstallOptions,
  target: string,
): Promise<boolean> {
  const file = join(folder, "requirements.txt");
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  if (!text.split("\n").some((line) => /^\s*[^#\s]/.test(line))) return false;
  say("Running pip install for requirements.txt");
  const flags = [
    "--target",
    target,
    "--only-binary=:all:",
    "--no-input",
    "--disable-pip-version-check",
    "--no-compile",
    "--no-cache-dir",
    "--quiet",
  ];
  await running(
    ["pip3", "install", ...flags, "-r", file],
    { cwd: folder, environment: toolEnvironment(home), user, say },
    {
      missing: "requirements.txt names packages, and pip3 is not on this machine: apt-get install python3-pip",
      failed: "pip could not install the packages",
    },
  );
  return true;
}

async function running(
  command: readonly [string, ...string[]],
  options: Parameters<typeof runTool>[1],
  words: { readonly missing: string; readonly failed: string },
): Promise<void> {
  try {
    await runTool(command, options);
  } catch (cause) {
    if (cause instanceof ToolMissing) throw failure("InstallerMissing", words.missing, cause);
    if (cause instanceof ToolFailed)
      throw failure("PackagesFailed", `${words.failed}: ${cause.lines.join("\n") || cause.message}`, cause);
    throw cause;
  }
}

function failure(reason: string, message: string, cause: unknown): BuildError {
  return new BuildError({ stage: "build", reason, message }, { cause });
}
