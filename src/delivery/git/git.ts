/**
 * Runs Git in a folder of ours to its end: in the cage, with a bound on time and on what it prints.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { GitCage } from "./git-cage.ts";
import { gitEnvironment } from "./git-settings.ts";

/** Git did not do what it was told. `lines` are the last that it said. */
export class GitFailed extends Error {
  readonly kind = "GitFailed";
  readonly lines: readonly string[];
  constructor(message: string, lines: readonly string[], options?: ErrorOptions) {
    super(message, options);
    this.lines = lines;
  }
}

/** Git is not on this machine. */
export class GitMissing extends Error {
  readonly kind = "GitMissing";
}

/** More of a command's environment, as a push's objects need it. */
export type GitView = Readonly<Record<string, string>>;

export type GitOptions = {
  readonly input?: string;
  readonly environment?: GitView;
  readonly hasNetwork?: boolean;
  readonly mostFileBytes?: number;
  readonly settings?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly mostBytes?: number;
  /** Takes what it prints as it comes, instead of its being given at the end. */
  readonly onData?: (chunk: Buffer) => Promise<void> | void;
  readonly signal?: AbortSignal;
};

const defaultTimeoutMs = 60_000;
const defaultMostBytes = 32 << 20;
const keptLines = 6;

/** Git for one repository: `folder` has `repo.git` and `hooks`. */
export class Git {
  readonly folder: string;
  readonly #cage: GitCage;

  constructor(folder: string, cage: GitCage) {
    this.folder = folder;
    this.#cage = cage;
  }

  /** What it printed. Throws {@link GitFailed}, {@link GitMissing}, or the signal's reason. */
  async run(args: readonly string[], options: GitOptions = {}): Promise<string> {
    const { input, environment, settings = {}, hasNetwork = false, mostFileBytes } = options;
    const { timeoutMs = defaultTimeoutMs, signal } = options;
    signal?.throwIfAborted();
    const child = this.spawn(["git", ...args], {
      environment,
      settings,
      hasNetwork,
      mostFileBytes,
      stdio: ["pipe", "pipe", "pipe"],
    });
    const late = AbortSignal.timeout(timeoutMs);
    const stop = AbortSignal.any([late, ...(signal === undefined ? [] : [signal])]);
    const kill = () => void child.kill("SIGKILL");
    stop.addEventListener("abort", kill, { once: true });
    child.stdin?.on("error", () => {}); // it may have ended already, which is said below
    child.stdin?.end(input);
    try {
      const [printed, said, end] = await Promise.all([read(child, options), errorsOf(child), endOf(child)]);
      signal?.throwIfAborted();
      if (late.aborted) throw new GitFailed(`git ${args[0]} took longer than ${timeoutMs / 1000} s`, said);
      if (end !== "exit code 0") throw new GitFailed(`git ${args[0]}: ${said.at(-1) ?? end}`, said);
      return printed;
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    } finally {
      stop.removeEventListener("abort", kill);
    }
  }

  /** Starts a program of Git's; whoever does ends it. */
  spawn(
    command: readonly string[],
    options: {
      readonly environment?: GitView | undefined;
      readonly settings?: Readonly<Record<string, string>>;
      readonly hasNetwork?: boolean;
      readonly mostFileBytes?: number | undefined;
      readonly stdio: readonly ("pipe" | "ignore")[];
    },
  ): ChildProcess {
    const { folder } = this;
    const { command: enclosed, inside } = this.#cage.enclose(command, {
      folder,
      hasNetwork: options.hasNetwork ?? false,
      ...(options.mostFileBytes === undefined ? {} : { mostFileBytes: options.mostFileBytes }),
    });
    const [program, ...rest] = enclosed;
    const env = { ...gitEnvironment(inside, options.settings), ...options.environment };
    return spawn(program, rest, { cwd: folder, env, stdio: [...options.stdio] });
  }

  /** The folder as programs in the cage see it. */
  get inside(): string {
    return this.#cage.enclose(["true"], { folder: this.folder, hasNetwork: false }).inside;
  }
}

async function read(child: ChildProcess, { onData, mostBytes = defaultMostBytes }: GitOptions): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of child.stdout ?? []) {
    const bytes = chunk as Buffer;
    if (onData !== undefined) await onData(bytes);
    else if ((size += bytes.length) > mostBytes) throw new GitFailed(`git printed more than ${mostBytes} bytes`, []);
    else chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString();
}

async function errorsOf(child: ChildProcess): Promise<readonly string[]> {
  let text = "";
  for await (const chunk of child.stderr ?? []) text = `${text}${String(chunk)}`.slice(-4096);
  return text.split("\n").filter(Boolean).slice(-keptLines);
}

/** How a child ended: "exit code 0", or a signal. Throws {@link GitMissing}. */
export async function endOf(child: ChildProcess): Promise<string> {
  try {
    const [code, signal] = (await once(child, "close")) as [number | null, string | null];
    if (code === 127) throw new GitMissing("git is not on this machine: apt-get install git");
    return signal ?? `exit code ${code}`;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    throw new GitMissing("git is not on this machine: apt-get install git", { cause });
  }
}
