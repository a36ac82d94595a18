/**
 * The machine's image store for the `image` commands. Shared by all clusters of a data root.
 */
import { existsSync } from "node:fs";
import { UserError } from "#cli/command.ts";
import type { ImageSummary } from "#cli/machine.ts";
import { systemClock } from "#component-base/clock.ts";
import { ImageStore } from "#images/image-store.ts";
import { loadImages } from "#images/load.ts";
import { loadLibc } from "#linux/libc.ts";
import { join } from "node:path";
import type { MachineContext } from "./clusters.ts";

/** Loads the images of a file or folder; gives their names. */
export async function loadImage(
  context: MachineContext,
  path: string,
  tag: string | undefined,
): Promise<readonly string[]> {
  if (!existsSync(path)) throw new UserError(`${path} does not exist`);
  const store = await openStore(context);
  try {
    const images = await loadImages(store, path, tag === undefined ? {} : { name: tag });
    return images.flatMap(({ tags, id }) => (tags.length > 0 ? tags : [id]));
  } catch (cause) {
    throw new UserError(`${path} was not loaded: ${(cause as Error).message}`, { cause });
  }
}

/** All images. */
export async function listImages(context: MachineContext): Promise<readonly ImageSummary[]> {
  const store = await openStore(context);
  const images = await store.list();
  return images.map(({ tags, id, sizeBytes }) => ({ names: tags, id, sizeBytes }));
}

/** Removes an image. Throws UserError for one that is not there or in use. */
export async function removeImage(context: MachineContext, reference: string): Promise<void> {
  const store = await openStore(context);
  const image = await store.find(reference);
  if (!image) throw new UserError(`no image "${reference}"; 'nodeless image ls' lists what there is`);
  try {
    await store.remove(reference);
  } catch (cause) {
    throw new UserError(`${reference} was not removed: ${(cause as Error).message}`, { cause });
  }
}

/** The store, opened. */
export async function openStore({ dataRoot }: MachineContext): Promise<ImageStore> {
  const store = new ImageStore({
    folder: join(dataRoot, "images"),
    clock: systemClock,
    specialFiles: await loadLibc(),
  });
  await store.open();
  return store;
}
