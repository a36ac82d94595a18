/**
 * Makes what end-to-end tests need and a fresh machine has not: `images` (and kubectl), `go` for the programs in Go. Each test would make its own when its turn comes; beside others that
 * costs less.
 */
import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { ensureLayout } from "../../tools/image-builder/build.ts";
import { canRunContainers } from "./cluster.ts";
import { buildGoPrograms } from "./go-programs.ts";
import { layerProgram } from "./kubectl.ts";

const root = resolve(import.meta.dirname, "../..");
/** As examples/images/build knows them. */
const images = ["shop/", "nginx", "library/busybox", "library/python", "tests/node"];

async function prepareImages(): Promise<number> {
  layerProgram("kubectl");
  await ensureLayout("busybox");
  const { status } = spawnSync(join(root, "examples/images/build"), ["--no-load", ...images], { stdio: "inherit" });
  return status ?? 1;
}

function prepareGo(): number {
  const { missing } = buildGoPrograms();
  if (missing !== undefined) console.log(missing);
  return 0;
}

if (canRunContainers()) process.exit(process.argv[2] === "go" ? prepareGo() : await prepareImages());
