/**
 * The Machine that commands work on: this one. Joins up, down, images and doctor; what a command does not need is not loaded.
 */
import { existsSync } from "node:fs";
import type { Finding, ImageSummary, Machine } from "#cli/machine.ts";
import type { Transport } from "#client/transport.ts";
import { functionTools } from "./functions/function-tools.ts";
import { describeCluster, getCluster, listClusters, type MachineContext } from "./clusters.ts";
import { getRemovable } from "./removable.ts";
import { kubernetesVersion, nodelessVersion } from "./version.ts";

/** The machine of `context`. */
export function localMachine(context: MachineContext): Machine {
  return {
    versions: { nodeless: nodelessVersion, kubernetes: kubernetesVersion },
    functions: functionTools(context),
    async up(options, terminal) {
      const { bringUp } = await import("./up.ts");
      return await bringUp(context, options, terminal);
    },
    async down(name, terminal) {
      const { takeDown } = await import("./down.ts");
      return await takeDown(context, getCluster(context, name), terminal);
    },
    async stayUntilStopped(name, terminal) {
      const { stayUntilStopped } = await import("./down.ts");
      await stayUntilStopped(context, getCluster(context, name), terminal);
    },
    status: async (name) => await describeCluster(context, getCluster(context, name)),
    list: async () => await listClusters(context),
    hasData: (name) => existsSync(getRemovable(context, name).layout.store),
    async reset(name, terminal) {
      await (await import("./reset.ts")).resetCluster(context, getCluster(context, name), terminal);
    },
    async delete(name, terminal) {
      const { removeCluster } = await import("./down.ts");
      await removeCluster(context, getRemovable(context, name), terminal);
    },
    loadImage: async (path, tag): Promise<readonly string[]> =>
      await (await import("./images.ts")).loadImage(context, path, tag),
    buildImage: async (request, onLine) =>
      await (await import("./image-build.ts")).buildImageFromFolder(context, request, onLine),
    listImages: async (): Promise<readonly ImageSummary[]> => await (await import("./images.ts")).listImages(context),
    tagImage: async (reference, name) => await (await import("./images.ts")).tagImage(context, reference, name),
    pushImage: async (reference, target) =>
      await (await import("./image-push.ts")).pushStoredImage(context, reference, target),
    removeAllImages: async () => await (await import("./image-cleanup.ts")).removeAllImages(context),
    removeImage: async (reference) => await (await import("./images.ts")).removeImage(context, reference),
    async doctor(): Promise<readonly Finding[]> {
      if (context.isRoot) return await (await import("./doctor.ts")).examineMachine();
      return await (await import("./doctor-rootless.ts")).examineWithoutRoot();
    },
    readStream: async (name, path) => await (await import("./connect.ts")).readStream(getCluster(context, name), path),
    exec: async (name, request) => await (await import("./exec.ts")).execInPod(getCluster(context, name), request),
    connect: async (name, onWarning): Promise<Transport> =>
      (await import("./connect.ts")).connectAsAdministrator(getCluster(context, name), onWarning),
  };
}
