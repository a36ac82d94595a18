/**
 * Runs a test file a second time as a node's process runs: inside the namespaces that `nodeless up` makes. The first run only starts the second and cleans up.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { destroyRuntime } from "#runtime/destroy.ts";
import { prepareNodeNamespaces, removeNodeNamespaces } from "#runtime/node-namespaces.ts";

const patienceMs = 180_000;
const variable = "NODELESS_TEST_FOLDER";

/** Folder for the test when this is the second run; undefined in the first. */
export function testFolder(): string | undefined {
  return process.env[variable];
}

/** Control group for all that a test runs. */
export function testCgroup(folder: string): string {
  return `/nodeless-${basename(folder)}`;
}

/** Runs the file inside; gives its exit code. Nothing of it is left afterwards, even when it hangs: the node's state is in FOLDER/state, what is shorter lived in FOLDER/r. */
export async function runInside(file: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "nl-"));
  const searchPath = process.env["PATH"] ?? "";
  try {
    const [program = "", ...prefix] = await prepareNodeNamespaces({ runFolder: join(folder, "run"), searchPath });
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const child = spawn(program, [...prefix, process.execPath, ...process.execArgv, file, ...process.argv.slice(2)], {
      stdio: "inherit",
      env: { ...env, [variable]: folder },
      timeout: patienceMs,
      killSignal: "SIGKILL",
    });
    const [code] = (await once(child, "exit")) as [number | null];
    return code ?? 1;
  } finally {
    await destroyRuntime({
      stateFolder: join(folder, "state"),
      runFolder: join(folder, "r"),
      cgroupParent: testCgroup(folder),
    });
    await removeNodeNamespaces({ runFolder: join(folder, "run") });
    rmSync(folder, { recursive: true, force: true });
  }
}
