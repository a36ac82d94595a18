/** `npm test`: installs what is missing, runs `npm run check`, then the end-to-end tests on real containers; ends with the line "N passed, N failed". */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ensureBundle, ensureNpmPackages, ensureSystemTools, ensureTestPrograms, root } from "./setup.mjs";

ensureNpmPackages();
ensureSystemTools();
ensureTestPrograms();
await ensureBundle();
const { status } = spawnSync(
  process.execPath,
  [join(root, "tools/node24.mjs"), join(root, "tools/run-tests.ts"), ...process.argv.slice(2)],
  {
    stdio: "inherit",
  },
);
process.exit(status ?? 1);
