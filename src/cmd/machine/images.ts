/**
 * The machine's image store for the `image` commands. Shared by all clusters of a data root.
 */
import { existsSync } from "node:fs";
import { UserError } from "#cli/command.ts";
import type { ImageSummary } from "#cli/machine.ts";
import { systemClock } from "#component-base/clock.ts";
import { ImageStore } from "#images/image-store.ts";
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
  const image = await store.find(reference);
  if (!image) throw new UserError(`no image "${reference}"; 'nodeless image ls' lists what there is`);
  let isRemoved: boolean;
  try {
    isRemoved = await store.remove(reference);
  } catch (cause) {
    throw new UserError(`${reference} was not removed: ${(cause as Error).message}`, { cause });
  }
  if (!isRemoved) throw new UserError(`${reference} was not removed: a container of this machine needs it`);
}

/** Removes all images that nothing needs, whatever their names. */
export async function removeAllImages(
  context: MachineContext,
): Promise<{ readonly removed: readonly string[]; readonly kept: readonly string[] }> {
  const store = await openStore(context);
  const [removed, kept]: [string[], string[]] = [[], []];
  for (const { id, tags } of await store.list()) {
    const names = tags.length > 0 ? tags : [id];
    ((await store.remove(id)) ? removed : kept).push(...names);
  }
  return { removed, kept };
}

/** Gives an image one more name. Throws UserError for one that is not there, and for what is no name. */
export async function tagImage(context: MachineContext, reference: string, name: string): Promise<string> {
  const store = await openStore(context);
  const image = await store.find(reference);
  if (!image) throw new UserError(`no image "${reference}"; 'nodeless image ls' lists what there is`);
  const tag = fullTag(name);
  await store.add(image.manifestDigest, { tag, isLoaded: true });
  return tag;
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
