/**
 * The machine's image store for the `image` commands. Shared by all clusters of a data root.
 */
import { existsSync } from "node:fs";
import { UserError } from "#cli/command.ts";
import type { ImageSummary } from "#cli/machine.ts";
import { systemClock } from "#component-base/clock.ts";
import { ImageStore, type StoredImage } from "#images/image-store.ts";
import { loadImages } from "#images/load.ts";
import { formatReference, parseReference } from "#images/reference.ts";
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
  await getImage(store, reference);
  let isRemoved: boolean;
  try {
    isRemoved = await store.remove(reference);
  } catch (cause) {
    throw new UserError(`${reference} was not removed: ${(cause as Error).message}`, { cause });
  }
  if (!isRemoved) throw new UserError(`${reference} was not removed: a container of this machine needs it`);
}

/** Gives an image one more name. Throws UserError for one that is not there, and for what is no name. */
export async function tagImage(context: MachineContext, reference: string, name: string): Promise<string> {
  const store = await openStore(context);
  const { manifestDigest } = await getImage(store, reference);
  const tag = fullTag(name);
  await store.add(manifestDigest, { tag, isLoaded: true });
  return tag;
}

/** An image by name, digest or id. Throws UserError for one that is not there. */
export async function getImage(store: ImageStore, reference: string): Promise<StoredImage> {
  const image = await store.find(reference);
  if (!image) throw new UserError(`no image "${reference}"; 'nodeless image ls' lists what there is`);
  return image;
}

function fullTag(name: string): string {
  try {
    const parsed = parseReference(name);
    if (parsed.digest === undefined) return formatReference(parsed);
  } catch (cause) {
    throw new UserError(`"${name}" cannot name an image: ${(cause as Error).message}`, { exitCode: 2, cause });
  }
  throw new UserError(`"${name}" cannot name an image: a digest is not for choosing`, { exitCode: 2 });
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
