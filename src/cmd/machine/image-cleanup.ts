/**
 * What goes from the machine's images with a cluster, and with `nodeless image rm --all`: images that nothing runs, repositories of the registry that no cluster needs, layers that builds keep.
 */
import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { ImageRemoval } from "#cli/machine.ts";
import { systemClock } from "#component-base/clock.ts";
import { clusterOfRepository, KeptImages } from "#functions/build/kept-images.ts";
import { removeFrom, underBuildLock } from "#images/build/buildah-storage.ts";
import type { ImageStore } from "#images/image-store.ts";
import { EmbeddedRegistry } from "#images/registry/embedded-registry.ts";
import { findClusterFolders } from "./cluster-record.ts";
import type { Cluster, MachineContext } from "./clusters.ts";
import { openStore } from "./images.ts";

const lockPatienceMs = 2000;

/** Removes what the functions of a cluster have in the machine's registry. Nothing of it may run. */
export async function removeClusterImages({ record: { name: cluster }, layout }: Cluster): Promise<void> {
  if (!existsSync(layout.images)) return;
  await new KeptImages({ cluster, imageStore: layout.images, clock: systemClock }).removeAll();
  await rm(join(layout.images, "registry/hosts", `${cluster}.json`), { force: true });
}

/** Removes all images that nothing needs, whatever their names, and what only they needed. */
export async function removeAllImages(context: MachineContext): Promise<ImageRemoval> {
  const store = await openStore(context);
  const fromRegistry = await removeRepositories(context, store);
  const [removed, kept]: [string[], string[]] = [[], []];
  for (const { id, tags } of await store.list()) {
    const names = tags.length > 0 ? tags : [id];
    ((await store.remove(id)) ? removed : kept).push(...names);
  }
  await store.discardBlobs(fromRegistry.blobs);
  const { repositories, keptRepositories } = fromRegistry;
  return { removed, kept, repositories, keptRepositories, isBuilding: !(await removeBuilds(context)) };
}

/** A function that sleeps has its image there and nowhere else; what somebody pushed may be needed as long as there is a cluster. */
async function removeRepositories(
  { dataRoot }: MachineContext,
  store: ImageStore,
): Promise<Pick<ImageRemoval, "repositories" | "keptRepositories"> & { readonly blobs: readonly string[] }> {
  const clusters = findClusterFolders(dataRoot);
  const registry = new EmbeddedRegistry({ store });
  const [repositories, keptRepositories, blobs]: [string[], string[], string[]] = [[], [], []];
  for (const repository of await registry.catalog()) {
    const owner = clusterOfRepository(repository);
    if (owner === undefined ? clusters.size > 0 : clusters.has(owner)) {
      keptRepositories.push(repository);
      continue;
    }
    blobs.push(...(await registry.removeRepository(repository)));
    repositories.push(repository);
  }
  return { repositories, keptRepositories, blobs };
}

/** What Dockerfiles' builds keep for later ones. False while one is under way. */
async function removeBuilds({ dataRoot, environment }: MachineContext): Promise<boolean> {
  const folder = join(dataRoot, "builds");
  if (!existsSync(folder)) return true;
  const patience = AbortSignal.timeout(lockPatienceMs);
  try {
    await underBuildLock(folder, patience, async () => {
      const names = (await readdir(folder)).filter((name) => name !== "lock");
      await removeFrom(folder, names, environment["PATH"] ?? "");
    });
    return true;
  } catch (error) {
    if (patience.aborted) return false;
    throw error;
  }
}
