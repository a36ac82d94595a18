/** `npm start`: installs what is missing, bundles when stale, and brings the cluster up. Arguments go to `nodeless up`. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ensureBundle, ensureNpmPackages, ensureSystemTools, root } from "./setup.mjs";

ensureNpmPackages();
const isComplete = ensureSystemTools();
await ensureBundle();
if (!isComplete && process.getuid?.() !== 0) {
  console.log(
    "Without root nodeless runs the API server, controllers and scheduler; pods stay Pending until it is started with root.",
  );
}
const { status } = spawnSync(join(root, "bin/nodeless"), ["up", ...process.argv.slice(2)], { stdio: "inherit" });
process.exit(status ?? 1);
