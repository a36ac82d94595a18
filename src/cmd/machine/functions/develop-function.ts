/**
 * `nodeless fn dev`: a folder's function in workerd on this machine, anew after each change. The process stays: new code is posted to the loader that isolates in a cluster have too, so a change costs
 * its bundling and its loading, and nothing of a start.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, type FSWatcher, mkdtempSync, rmSync, watch } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { UserError } from "#cli/command.ts";
import type { DevelopOptions } from "#cli/functions/function-tools.ts";
import type { Terminal } from "#cli/terminal.ts";
import { isPortFree } from "#cmd/machine/ports.ts";
import { BuildError } from "#functions/build/build-error.ts";
import { type Bundled, createRebundler, type Rebundler } from "#functions/build/bundle-code.ts";
import { findScript, readPackage } from "#functions/build/entrypoint.ts";
import { loadEsbuild } from "#functions/build/esbuild.ts";
import { timeoutVariable } from "#functions/runtimes/handler.ts";
import { checkSource } from "./check-source.ts";
import { codeOf } from "#providers/isolates/bundle.ts";
import { Control, LoadFailure } from "#providers/isolates/control.ts";
import {
  compileConfiguration,
  type LoaderProgram,
  reachableFromOwnNetwork,
  sockets,
} from "#providers/isolates/loader.ts";
import { loaderFunctions } from "#providers/isolates/worker-sources.ts";
import { findWorkerd, type WorkerdProgram } from "#providers/isolates/workerd-program.ts";

const startPatienceMs = 10_000;
/** Editors write a file in several steps. */
const settleMs = 15;

/** Code is replaced when it loads; what does not load leaves what was there. */
const reloadingLoader: LoaderProgram = {
  sockets: [
    { name: sockets.pod, entrypoint: undefined },
    { name: sockets.control, entrypoint: "control" },
  ],
  source: `${loaderFunctions}
  let current, count = 0;
  const isolate = (env, context, { name, code }) => env.LOADER.get(name, () => withOutbound(code, env, context));
  export default {
    fetch: (request, env, context) =>
      current ? isolate(env, context, current).getEntrypoint().fetch(request) : new Response("The function has not loaded yet.\\n", { status: 503 }),
  };
  export const control = {
    async fetch(request, env, context) {
      const posted = await request.json();
      if (!posted.modules) return new Response("waiting");
      const next = { name: "load-" + count++, code: workerOf(posted) };
      try {
        await check(isolate(env, context, next), posted.mainModule);
        current = next;
        return new Response("ok");
      } catch (error) {
        return new Response(inSources(String(error.stack ?? error), posted.lines), { status: 422 });
      }
    },
  };
`,
};

/** Runs until it is interrupted. Throws UserError. */
export async function developFunction(options: DevelopOptions, terminal: Terminal): Promise<void> {
  if (!(await isPortFree(options.port, "127.0.0.1")))
    throw new UserError(`port ${options.port} is taken: --port names another`);
  await checkSource(options.folder, { runtime: "isolate", entrypoint: options.entrypoint });
  const run = mkdtempSync(join(tmpdir(), "nodeless-dev-"));
  const session = new Session(options, terminal, run);
  try {
    await session.run();
  } finally {
    await session.stop();
    rmSync(run, { recursive: true, force: true });
  }
}

class Session {
  readonly #options: DevelopOptions;
  readonly #terminal: Terminal;
  readonly #run: string;
  readonly #workerd: WorkerdProgram = findWorkerd();
  readonly #watchers = new Map<string, FSWatcher>();
  #child: ChildProcess | undefined;
  #rebundler: { readonly entrypoint: string; readonly rebundler: Rebundler } | undefined;
  #changedAtMs: number | undefined;
  #isReloading = false;
  #isStopped = false;

  constructor(options: DevelopOptions, terminal: Terminal, run: string) {
    this.#options = options;
    this.#terminal = terminal;
    this.#run = run;
  }

  async run(): Promise<void> {
    const interrupted = new Promise<void>((resolve) => {
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
    });
    await this.#startEngine();
    this.#watch([join(this.#options.folder, "package.json")]);
    await this.#reload();
    this.#terminal.print(`http://127.0.0.1:${this.#options.port}/ (Ctrl-C ends it)`);
    await interrupted;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const watcher of this.#watchers.values()) watcher.close();
    await this.#rebundler?.rebundler.dispose();
    this.#child?.kill("SIGKILL");
  }

  get #controlPath(): string {
    return join(this.#run, "control");
  }

  async #startEngine(): Promise<void> {
    const { path, compatibilityDate } = this.#workerd;
    const configuration = await compileConfiguration({
      program: reloadingLoader,
      workerd: path,
      compatibilityDate,
      folder: this.#run,
      reachable: reachableFromOwnNetwork,
    });
    const places = [`${sockets.pod}=127.0.0.1:${this.#options.port}`, `${sockets.control}=unix:${this.#controlPath}`];
    const args = [
      "serve",
      "--binary",
      "--experimental",
      ...places.map((place) => `--socket-addr=${place}`),
      configuration,
    ];
    const child = spawn(path, args, { stdio: ["ignore", "inherit", "inherit"] });
    this.#child = child;
    child.once("exit", (code, signal) => void this.#onExit(signal ?? `exit code ${code}`));
    await this.#untilListening();
  }

  async #untilListening(): Promise<void> {
    const until = performance.now() + startPatienceMs;
    while (!existsSync(this.#controlPath)) {
      if (performance.now() > until || this.#child?.exitCode !== null) throw new UserError("the engine did not start");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** The code may have ended it: by all of the memory, for one. */
  async #onExit(how: string): Promise<void> {
    if (this.#isStopped) return;
    this.#terminal.warn(`The engine ended with ${how}; it starts again`);
    rmSync(this.#controlPath, { force: true });
    await this.#startEngine();
    await this.#reload();
  }

  #watch(files: readonly string[]): void {
    for (const folder of new Set(files.map((file) => dirname(file)))) {
      if (this.#watchers.has(folder) || folder.includes("/node_modules/")) continue;
      const watcher = watch(folder, () => this.#onChange());
      watcher.on("error", () => this.#watchers.delete(folder)); // the folder has gone
      this.#watchers.set(folder, watcher);
    }
  }

  #onChange(): void {
    if (this.#changedAtMs !== undefined) return;
    this.#changedAtMs = performance.now();
    setTimeout(() => void this.#reload(), settleMs);
  }

  /** Never rejects: what is wrong is said, and what ran runs on. */
  async #reload(): Promise<void> {
    if (this.#isReloading || this.#isStopped) return;
    this.#isReloading = true;
    const since = this.#changedAtMs ?? performance.now();
    const isFirst = this.#changedAtMs === undefined;
    this.#changedAtMs = undefined;
    try {
      const bundled = await this.#bundle();
      if (bundled !== undefined) {
        await this.#load(bundled);
        this.#terminal.print(` ✓ ${isFirst ? "Loaded" : "Reloaded"} in ${Math.round(performance.now() - since)} ms`);
      }
    } catch (error) {
      if (!(error instanceof BuildError || error instanceof LoadFailure)) throw error;
      this.#terminal.warn(` ✗ ${error.message}`);
      this.#last = undefined; // back to what it was is a change too
    } finally {
      this.#isReloading = false;
      if (this.#changedAtMs !== undefined) setTimeout(() => void this.#reload(), settleMs);
    }
  }

  #last: string | undefined;

  /** Undefined when nothing has changed that matters. */
  async #bundle(): Promise<Bundled | undefined> {
    const { folder, entrypoint: given } = this.#options;
    const entrypoint = findScript(folder, given);
    if (this.#rebundler?.entrypoint !== entrypoint) {
      await this.#rebundler?.rebundler.dispose();
      this.#rebundler = {
        entrypoint,
        rebundler: await createRebundler(await loadEsbuild(), { folder, entrypoint, runtime: "isolate" }),
      };
      this.#watch([join(folder, entrypoint)]);
    }
    const bundled = await this.#rebundler.rebundler.bundle();
    this.#watch(bundled.inputs);
    const text = JSON.stringify(
      [...bundled.files].map(([name, bytes]) => [name, Buffer.from(bytes).toString("base64")]),
    );
    if (text === this.#last) return undefined;
    this.#last = text;
    for (const warning of bundled.warnings) this.#terminal.warn(`   warning: ${warning}`);
    return bundled;
  }

  async #load({ files }: Bundled): Promise<void> {
    const { folder, timeoutSeconds } = this.#options;
    const patience = timeoutSeconds === undefined ? {} : { [timeoutVariable]: String(timeoutSeconds) };
    const env = { ...this.#options.env, ...patience };
    const description = { main: "index.js", nodeless: readPackage(folder).nodeless };
    const all = new Map<string, Uint8Array>([...files, ["package.json", Buffer.from(JSON.stringify(description))]]);
    const control = new Control(this.#controlPath);
    try {
      await control.load(
        codeOf(all, env, this.#workerd.compatibilityDate),
        () => {},
        AbortSignal.timeout(startPatienceMs),
      );
    } finally {
      control.disconnect();
    }
  }
}
