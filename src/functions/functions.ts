/**
 * Starts Functions' control side: installs the kind, and runs its controller. Who starts it says where images go and how builds are run.
 */
import type { ControllerContext } from "#client/controller.ts";
import { installDefinitions } from "#client/custom-resources.ts";
import type { Service } from "#component-base/life-cycle.ts";
import { ensureNamespace } from "#knative/namespace.ts";
import { ensureClusterRoles, ownKindRoles } from "#knative/roles.ts";
import { runBuild } from "./build/build-process.ts";
import { KeptImages } from "./build/kept-images.ts";
import type { BuildSettings } from "./build/job.ts";
import { createFunctionsConfigStore, functionsNamespace } from "./config/functions-config.ts";
import { createFunctionController } from "./controller/function-controller.ts";
import { functionDefinition } from "./crds/function-definition.ts";

/** What it works with. The informer factory runs already, and Knative's kinds are there. */
export type FunctionsOptions = ControllerContext & {
  /** Asked before each build. */
  readonly images: () => Pick<BuildSettings, "imageStore" | "cluster" | "buildah" | "user">;
  /** Node and the program of builds. */
  readonly buildProgram: readonly [string, ...string[]];
  /** Where builds have their folders: everybody may pass through it. */
  readonly workRoot: string;
  readonly signal: AbortSignal;
};

/** Resolves when the kind can be used. Starting it again, after a crash too, finds things as they are. */
export async function startFunctions(options: FunctionsOptions): Promise<Pick<Service, "stop">> {
  const { client, clock, informers, logger, signal, images, buildProgram: program, workRoot } = options;
  await Promise.all([
    installDefinitions(client, [functionDefinition()], { clock, signal }),
    ensureNamespace(client, { name: functionsNamespace }, signal),
    ensureClusterRoles(client, ownKindRoles("nodeless-functions", ["functions"]), signal),
  ]);
  const config = createFunctionsConfigStore(informers, logger);
  const endConfig = config.start();
  await config.informer.waitForSync(signal);
  const controller = createFunctionController({
    ...options,
    kept: new KeptImages({ ...images(), clock }),
    settings: () => ({ ...images(), bases: config.current.bases, mostSourceBytes: config.current.mostSourceBytes }),
    build(job, listening) {
      const { bounds, dockerfileBounds } = config.current;
      const chosen = job.runtime === "container" ? dockerfileBounds : bounds;
      return runBuild(job, { program, workRoot, bounds: chosen, clock }, listening);
    },
  });
  await controller.start(signal);
  return {
    async stop() {
      endConfig();
      await controller.stop();
    },
  };
}
