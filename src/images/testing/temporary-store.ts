/**
 * What tests of images have in common: a store that ends with its test, and folders to make images of.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "#component-base/clock.ts";
import { ImageStore } from "#images/image-store.ts";

/** Runs `body` with an open store in a folder of its own, beside which there is room for more. */
export async function withStore(body: (store: ImageStore, folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nl-images-"));
  const store = new ImageStore({ folder: join(folder, "store"), clock: systemClock });
  await store.open();
  try {
    await body(store, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Writes files, by their paths, into the folder `name` of `root`. Gives the folder. */
export function makeFolder(root: string, name: string, files: Readonly<Record<string, string>>): string {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(root, name, path, ".."), { recursive: true });
    writeFileSync(join(root, name, path), content);
  }
  return join(root, name);
}
