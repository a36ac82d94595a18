/**
 * A real cluster for end-to-end tests: the bundle's `nodeless` with a data root, run folder and kubeconfig of the test's own, and a kubectl for it.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { findKubectl } from "./kubectl.ts";

export const repository: string = resolve(import.meta.dirname, "../..");

/** What a program said. */
export type Outcome = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** A cluster that is up, until `remove`. */
export type TestCluster = {
  readonly name: string;
  readonly context: string;
  readonly kubeconfig: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Runs kubectl; throws when it fails, unless `mayFail`. Gives what it printed. */
  readonly kubectl: (
    args: readonly string[],
    options?: { readonly input?: string; readonly mayFail?: boolean; readonly timeoutMs?: number },
  ) => Promise<Outcome>;
  /** Starts kubectl and leaves it running. */
  readonly startKubectl: (args: readonly string[]) => ChildProcess;
  /** Runs `nodeless COMMAND --name NAME`. */
  readonly nodeless: (args: readonly string[], options?: { readonly mayFail?: boolean }) => Promise<Outcome>;
  /** Deletes the cluster and the test's folder. */
  readonly remove: () => Promise<void>;
};

/** True where end-to-end tests can run: root on Linux. */
export function canRunContainers(): boolean {
  return (
    process.getuid?.() === 0 &&
    spawnSync("sh", ["-c", "command -v conmon && (command -v crun || command -v runc)"]).status === 0
  );
}

/** Brings a cluster up. Images are shared by all clusters that tests make, so loading is done once; those of files that run at the same time (tools/run-tests.ts) have roots of their own. */
export async function startCluster(
  name: string,
  options: {
    readonly nodes?: number;
    readonly dataRoot?: string;
    readonly runRoot?: string;
    readonly environment?: NodeJS.ProcessEnv;
    /** More of `nodeless up`. */
    readonly arguments?: readonly string[];
  } = {},
): Promise<TestCluster> {
  const folder = mkdtempSync(join(tmpdir(), `nodeless-${name}-`));
  const roots = testRoots();
  const kubeconfig = join(folder, "kubeconfig");
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    ...options.environment,
    NODELESS_DATA_ROOT: options.dataRoot ?? roots.data,
    NODELESS_RUN_ROOT: options.runRoot ?? roots.run,
    KUBECONFIG: kubeconfig,
    HOME: folder,
  };
  const context = `nodeless-${name}`;
  const program = join(repository, "bin/nodeless");
  const kubectlPath = findKubectl();
  const nodeless: TestCluster["nodeless"] = (args, { mayFail = false } = {}) =>
    run(program, args, { environment, mayFail });
  await nodeless(["delete", "--name", name], { mayFail: true }); // left by a run that was killed
  const usual = ["up", "--name", name, "--nodes", String(options.nodes ?? 1), "--kubeconfig", kubeconfig];
  await nodeless([...usual, ...portArguments(), ...(options.arguments ?? [])]);
  const withContext = (args: readonly string[]) => ["--context", context, ...args];
  return {
    name,
    context,
    kubeconfig,
    environment,
    nodeless,
    kubectl: (args, { input, mayFail = false, timeoutMs = 120_000 } = {}) =>
      run(kubectlPath, withContext(args), {
        environment,
        mayFail,
        timeoutMs,
        ...(input === undefined ? {} : { input }),
      }),
    startKubectl: (args) =>
      spawn(kubectlPath, withContext(args), { env: environment, stdio: ["pipe", "pipe", "pipe"] }),
    async remove() {
      await nodeless(["delete", "--name", name], { mayFail: true });
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Which of those that run at the same time this process is, from 1. */
function testLane(): number {
  return Number(process.env["NODELESS_TEST_LANE"] ?? 1);
}

function testRoots(): { readonly data: string; readonly run: string } {
  const name = testLane() === 1 ? "nodeless-e2e" : `nodeless-e2e-${testLane()}`;
  return { data: join(tmpdir(), name), run: `/run/${name}` };
}

/** For `nodeless up`: where to look for a port, so that nobody takes that of another's cluster while it is down. */
export function portArguments(): readonly string[] {
  return testLane() === 1 ? [] : ["--api-port", String(6443 + 1000 * (testLane() - 1))];
}

/** Loads images of examples/images into the cluster's store. Whatever home the cluster's commands have, images are built once on a machine, in the cache of its user. */
export async function loadExampleImages({ environment }: TestCluster, names: readonly string[] = []): Promise<void> {
  const home = { ...environment, HOME: process.env["HOME"] };
  await run(join(repository, "examples/images/build"), names, { environment: home, timeoutMs: 600_000 });
}

/** Waits until `condition` gives something, asking again as often as it can within reason. Throws after `timeoutMs`, naming what was awaited. */
export async function eventually<T>(
  what: string,
  condition: () => Promise<T | undefined | false>,
  timeoutMs = 60_000,
): Promise<T> {
  const deadlineMs = Date.now() + timeoutMs;
  let lastError: unknown;
  while (Date.now() < deadlineMs) {
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      lastError = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited ${timeoutMs} ms in vain: ${what}`, { cause: lastError });
}

/** Runs a program to its end. */
export function run(
  program: string,
  args: readonly string[],
  options: {
    readonly environment?: NodeJS.ProcessEnv;
    readonly input?: string;
    readonly mayFail?: boolean;
    readonly timeoutMs?: number;
  } = {},
): Promise<Outcome> {
  const { environment = process.env, input, mayFail = false, timeoutMs = 180_000 } = options;
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      [...args],
      { env: environment, timeout: timeoutMs, maxBuffer: 256 << 20 },
      (error, stdout, stderr) => {
        const code = typeof error?.code === "number" ? error.code : error === null ? 0 : 1;
        if (error && !mayFail)
          reject(new Error(`${program} ${args.join(" ")} failed (${error.code ?? error.signal}):\n${stdout}${stderr}`));
        else resolve({ code, stdout, stderr });
      },
    );
    child.stdin?.on("error", () => {}); // the program may end without reading its input
    child.stdin?.end(input ?? "");
  });
}
