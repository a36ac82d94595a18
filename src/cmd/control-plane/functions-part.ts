/**
 * Functions' control side, where Knative Serving runs: loaded with it, once everything else runs.
 */
import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { ControllerContext } from "#client/controller.ts";
import { searchPath } from "#cmd/machine/node-plan.ts";
import type { Service } from "#component-base/life-cycle.ts";
import { findProgram } from "#runtime/machine.ts";

/** Who reads sources, a user for each build: nobody else is one of these. */
const buildUsers = { first: 0x30_0000, count: 0x1_0000 };

/** What it works with. */
export type FunctionsPartOptions = ControllerContext & {
  /** The machine's image store. */
  readonly imageStore: string;
  /** The cluster's name: its registry gets what is built. */
  readonly cluster: string;
  readonly signal: AbortSignal;
};

/** Resolves when Functions can be used. */
export async function startFunctionsPart(options: FunctionsPartOptions): Promise<Pick<Service, "stop">> {
  const { imageStore, cluster } = options;
  const folder = join(imageStore, "..", "builds");
  const { startFunctions } = await import("#functions/functions.ts");
  return await startFunctions({
    ...options,
    images: () => ({
      imageStore,
      cluster,
      user: buildUsers.first + randomInt(buildUsers.count),
      buildah: { program: findProgram("buildah", searchPath), folder, searchPath },
    }),
    buildProgram: buildProgram(),
    workRoot: tmpdir(),
  });
}

// Beside this process's own program, in the sources as in the bundle.
function buildProgram(): readonly [string, ...string[]] {
  const here = resolve(process.argv[1] ?? "", "..");
  const program = ["function-build.js", "function-build.ts"]
    .map((name) => join(here, name))
    .find((path) => existsSync(path));
  if (program === undefined) throw new Error(`the program of builds is not in ${here}`);
  return [process.execPath, "--disable-warning=ExperimentalWarning", program];
}
