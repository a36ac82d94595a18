/**
 * Runs a build in a process of its own, within bounds: what takes too long, too much memory or says too much is ended, with all that it started. Nothing of a build happens on the control plane's event loop
 * but reading its lines.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Clock } from "#component-base/clock.ts";
import type { BuildFailure } from "./build-error.ts";
import type { BuildJob, BuildMessage, BuildOutcome } from "./job.ts";

/** What a build may use. */
export type BuildBounds = {
  readonly timeoutMs: number;
  /** Of the build with all that it starts. */
  readonly memoryBytes: number;
  /** Of what it says; more is left out of the log. */
  readonly outputBytes: number;
};

export const defaultBounds: BuildBounds = { timeoutMs: 300_000, memoryBytes: 1 << 30, outputBytes: 512 * 1024 };

/** A Dockerfile's steps compile and install. */
export const defaultDockerfileBounds: BuildBounds = {
  ...defaultBounds,
  timeoutMs: 900_000,
  memoryBytes: 4 * 1024 ** 3,
};

export type BuildProcessOptions = {
  /** The program, with its arguments: Node and `cmd/function-build`. */
  readonly program: readonly [string, ...string[]];
  /** Where work folders are made; whoever reads sources must be able to get there. */
  readonly workRoot: string;
  readonly bounds: BuildBounds;
  readonly clock: Clock;
};

/** What is heard of a build while it runs. */
export type BuildListener = {
  readonly onLine: (line: string) => void;
  readonly onFetched?: () => void;
};

const memoryLookMs = 250;
const pageBytes = 4096;
/** V8 ends itself in good order before the whole is killed. */
const heapShare = 0.5;

/** Builds. Never rejects, unless it is aborted: then with the signal's reason, when all of it has ended. */
export async function runBuild(
  job: Omit<BuildJob, "work">,
  { program, workRoot, bounds, clock }: BuildProcessOptions,
  { listener, signal }: { readonly listener: BuildListener; readonly signal: AbortSignal },
): Promise<BuildOutcome> {
  signal.throwIfAborted();
  const work = await mkdtemp(join(workRoot, "nodeless-build-"));
  try {
    return await new BuildRun({ program, bounds, clock, listener }).run({ ...job, work }, signal);
  } finally {
    await rm(work, { recursive: true, force: true, maxRetries: 3 });
  }
}

type BuildRunOptions = Omit<BuildProcessOptions, "workRoot"> & { readonly listener: BuildListener };

/** One process. */
class BuildRun {
  readonly #options: BuildRunOptions;
  #outcome: BuildOutcome | undefined;
  #outputBytes = 0;
  #hasFetched = false;
  #complaints = "";

  constructor(options: BuildRunOptions) {
    this.#options = options;
  }

  async run(job: BuildJob, signal: AbortSignal): Promise<BuildOutcome> {
    const { program, bounds, clock } = this.#options;
    const [command, ...args] = program;
    const heap = `--max-old-space-size=${Math.floor((bounds.memoryBytes * heapShare) / (1 << 20))}`;
    // A group of its own: what it starts ends with it.
    const child = spawn(command, [heap, ...args], { detached: true, stdio: ["pipe", "pipe", "pipe"], cwd: "/" });
    const kill = (failure: BuildFailure | undefined) => {
      this.#outcome ??= failure && { failure };
      killGroup(child);
    };
    const late = clock.setTimer(bounds.timeoutMs, () => kill(this.#tooLong()));
    const watch = setInterval(() => {
      if (memoryOf(child.pid ?? 0) > bounds.memoryBytes) kill(this.#tooLarge());
    }, memoryLookMs);
    const onAbort = () => kill(undefined);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      child.stdin.on("error", () => {}); // it may end before it has read all
      child.stdin.end(JSON.stringify(job));
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        this.#complaints = (this.#complaints + text).slice(-4096);
      });
      const reading = (async () => {
        for await (const line of createInterface({ input: child.stdout })) this.#take(line);
      })();
      const end = await ended(child);
      await reading;
      signal.throwIfAborted();
      return this.#outcome ?? { failure: this.#crashed(end) };
    } finally {
      late.clear();
      clearInterval(watch);
      signal.removeEventListener("abort", onAbort);
    }
  }

  #take(text: string): void {
    const message = parse(text);
    if (message === undefined) return;
    if ("line" in message) this.#say(message.line);
    else if ("stage" in message) {
      if (message.stage === "fetched") {
        this.#hasFetched = true;
        this.#options.listener.onFetched?.();
      }
    } else this.#outcome ??= message;
  }

  #say(line: string): void {
    const { bounds, listener } = this.#options;
    if (this.#outputBytes > bounds.outputBytes) return;
    this.#outputBytes += Buffer.byteLength(line) + 1;
    if (this.#outputBytes > bounds.outputBytes)
      listener.onLine(`(what follows is left out: the build said more than ${bounds.outputBytes >> 10} KiB)`);
    else listener.onLine(line);
  }

  get #stage(): BuildFailure["stage"] {
    return this.#hasFetched ? "build" : "source";
  }

  #tooLong(): BuildFailure {
    const message = `the build took longer than ${this.#options.bounds.timeoutMs / 1000} s and was ended`;
    return { stage: this.#stage, reason: "BuildTimedOut", message, isPassing: false };
  }

  #tooLarge(): BuildFailure {
    const message = `the build used more than ${this.#options.bounds.memoryBytes >> 20} MiB of memory and was ended`;
    return { stage: this.#stage, reason: "BuildOutOfMemory", message, isPassing: false };
  }

  #crashed(end: string): BuildFailure {
    if (/heap out of memory/.test(this.#complaints)) return this.#tooLarge();
    // Where in our own code it was is nothing to the author.
    const words = this.#complaints.split("\n").filter((line) => !/^\s+at |^Node\.js v|^\s*$/.test(line));
    const said = words.slice(-5).join("\n");
    const message = `the build ended with ${end}${said === "" ? "" : `: ${said}`}`;
    return { stage: this.#stage, reason: "BuildCrashed", message, isPassing: end === "SIGTERM" };
  }
}

function ended(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => {
      // At once, while nobody else can have its number: what it left behind may hold its output open.
      killGroup(child);
      resolve(signal ?? `exit code ${code}`);
    });
  });
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // all of it has ended
  }
}

function parse(text: string): BuildMessage | undefined {
  try {
    return JSON.parse(text) as BuildMessage;
  } catch {
    return undefined;
  }
}

/** Resident memory of a process and all below it. What has just ended counts nothing. */
function memoryOf(pid: number): number {
  try {
    const resident = Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * pageBytes;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
    return resident + children.reduce((sum, child) => sum + memoryOf(Number(child)), 0);
  } catch {
    return 0;
  }
}
