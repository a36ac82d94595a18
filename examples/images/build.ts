/**
 * Builds the shop's images as OCI layouts and loads them into the machine's store. `--no-load` only builds; NAMEs choose some, and those that charts of others name
 * (nginx, busybox), that functions are laid onto (library/node, library/python) or that tests run (tests/node).
 */
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { join, resolve } from "node:path";
import { buildLayout, defaultFolder } from "../../tools/image-builder/build.ts";
import { chartRecipes, functionRecipes, shopRecipes, testRecipes } from "./recipes.ts";

const recipes = [...shopRecipes, ...chartRecipes, ...functionRecipes, ...testRecipes];
const help = `Usage: examples/images/build [--no-load] [--folder FOLDER] [NAME…]

Makes images from Debian packages and npm's node, and loads them into the machine's store. Without NAME those of
examples/shop; a NAME is a part of one of these:

${recipes.map(({ name }) => `  ${name}`).join("\n")}

  --no-load         Only build
  --folder FOLDER   Where the layouts are kept (${defaultFolder})
  --help            Show this`;

const { values, positionals } = parseCommandLine();
if (values.help) {
  console.log(help);
  process.exit(0);
}
const program = resolve(import.meta.dirname, "../../bin/nodeless");
const chosen =
  positionals.length === 0
    ? shopRecipes
    : recipes.filter(({ name }) => positionals.some((part) => name.includes(part)));
const unknown = positionals.filter((part) => !recipes.some(({ name }) => name.includes(part)));
if (unknown.length > 0) refuse(`no image has ${unknown.join(", ")} in its name`);

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

function parseCommandLine() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        folder: { type: "string", default: defaultFolder },
        "no-load": { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    return refuse((error as Error).message.replace(/\. To specify a positional.*$/, ""));
  }
}

function refuse(why: string): never {
  console.error(`examples/images/build: ${why}. See --help`);
  process.exit(2);
}
