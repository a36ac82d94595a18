/**
 * Builds the images that tests and examples use, from Debian packages, without a container engine.
 * Usage: node tools/node24.mjs tools/image-builder/build.ts [--folder FOLDER] [NAME …]
 * Each becomes an OCI layout FOLDER/NAME (default FOLDER: ~/.cache/nodeless/images). One that is there is kept.
 */
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { writeLayout } from "#images/layout-writer.ts";
import { type Recipe, recipes } from "./recipes.ts";

/** Where layouts are built, if nothing else is said. */
export const defaultFolder: string = join(homedir(), ".cache", "nodeless", "images");

/** The layout's folder, built if it is not there yet. `name` is the image's short name: "busybox". */
export async function ensureLayout(name: string, folder: string = defaultFolder): Promise<string> {
  const recipe = recipes.find((candidate) => shortName(candidate) === name);
  if (!recipe) throw new Error(`no recipe for ${name}; there are ${recipes.map(shortName).join(", ")}`);
  return await buildLayout(recipe, join(folder, name), join(folder, "packages"));
}

/** The layout of a recipe in folder `layout`, built if it is not there yet. `cache` keeps fetched packages. */
export async function buildLayout(recipe: Recipe, layout: string, cache: string): Promise<string> {
  if (!existsSync(join(layout, "oci-layout"))) await build(recipe, layout, cache);
  return layout;
}

async function build(recipe: Recipe, layout: string, cache: string): Promise<void> {
  const work = `${layout}.part-${process.pid}`;
  const root = join(work, "root");
  await mkdir(root, { recursive: true });
  await mkdir(cache, { recursive: true });
  try {
    const content = await recipe.prepare(root, cache);
    await writeLayout(join(work, "layout"), { name: recipe.name, layers: [root], ...content });
    await rename(join(work, "layout"), layout);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function shortName(recipe: Recipe): string {
  return recipe.name.slice(recipe.name.lastIndexOf("/") + 1).split(":")[0] ?? "";
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { folder: { type: "string", default: defaultFolder } },
  });
  for (const name of positionals.length > 0 ? positionals : recipes.map(shortName))
    console.log(await ensureLayout(name, values.folder));
}
