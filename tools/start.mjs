/** `npm start`: installs what is missing, bundles when stale, and brings the cluster up. Arguments go to `nodeless up`. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ensureBundle, ensureNpmPackages, ensureSystemTools, root } from "./setup.mjs";

ensureNpmPackages();
// Without root no container runs, whatever is installed.
if (process.getuid?.() === 0) ensureSystemTools();
else console.log("Without root pods run as isolates; 'sudo npm start' has containers too.");
await ensureBundle();
const { status } = spawnSync(join(root, "bin/nodeless"), ["up", ...process.argv.slice(2)], { stdio: "inherit" });
process.exit(status ?? 1);
