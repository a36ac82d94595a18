/**
 * Builds the shop's images as OCI layouts and loads them into the machine's store. `--no-load` only builds; NAMEs choose some, and those that charts of others name
 * (nginx, busybox), that functions are laid onto (library/node, library/python) or that tests run (tests/node).
 */
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { join, resolve } from "node:path";
import { buildLayout, defaultFolder } from "../../tools/image-builder/build.ts";
import { chartRecipes, functionRecipes, shopRecipes, testRecipes } from "./recipes.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { folder: { type: "string", default: defaultFolder }, "no-load": { type: "boolean", default: false } },
});
const program = resolve(import.meta.dirname, "../../bin/nodeless");
const chosen =
  positionals.length === 0
    ? shopRecipes
    : [...shopRecipes, ...chartRecipes, ...functionRecipes, ...testRecipes].filter(({ name }) =>
        positionals.some((part) => name.includes(part)),
      );

// apt needs its lists once; a machine that never ran an update has none.
if (execFileSync("apt-cache", ["policy", "busybox-static"], { encoding: "utf8" }).trim() === "")
  execFileSync("apt-get", ["update", "-qq"]);

for (const recipe of chosen) {
  const layout = await buildLayout(
    recipe,
    join(values.folder, recipe.name.replaceAll(/[/:]/g, "-")),
    join(values.folder, "packages"),
  );
  console.log(`Built ${recipe.name}`);
  if (!values["no-load"]) execFileSync(program, ["image", "load", layout], { stdio: "inherit" });
}
