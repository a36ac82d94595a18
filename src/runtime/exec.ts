/**
 * Further processes in a running container: by `crun exec` with pipes, or in a terminal of its own. Killing that program leaves what it started running, so the
 * number of the inner process is asked for and killed when the caller goes away.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";
import type { Libc } from "#linux/libc.ts";
import { RuntimeFailure } from "./settings.ts";
import { resizeInputOf, type WindowSize } from "./window-size.ts";

/** Where output goes to and input comes from. */
export type ExecStreams = {
  readonly stdin?: AsyncIterable<Uint8Array>;
  readonly stdout?: (chunk: Uint8Array) => Promise<void> | void;
  readonly stderr?: (chunk: Uint8Array) => Promise<void> | void;
  readonly tty: boolean;
  readonly resize?: AsyncIterable<WindowSize>;
};

/** The container to run in, and what to run. */
export type ExecTarget = {
  readonly libc: Libc;
  readonly runtime: string;
  readonly runtimeRoot: string;
  readonly id: string;
  /** The container's folder with its config.json. */
  readonly bundle: string;
  readonly command: readonly string[];
};

/** Runs the command; gives its exit code. Aborting kills it and rejects with the signal's reason. */
export async function execInContainer(target: ExecTarget, streams: ExecStreams, signal: AbortSignal): Promise<number> {
  signal.throwIfAborted();
  const name = `exec-${randomBytes(6).toString("hex")}`;
  const processFile = join(target.bundle, `${name}.json`);
  const pidFile = join(target.bundle, `${name}.pid`);
  writeFileSync(processFile, JSON.stringify(processOf(target, streams.tty)), { mode: 0o600 });
  const args = ["--root", target.runtimeRoot, "exec", "--pid-file", pidFile, "--process", processFile];
  const onAbort = () => killInner(pidFile);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const code = streams.tty
      ? await runInTerminal(target, [...args, "--tty", target.id], pidFile, streams, signal)
      : await runWithPipes(target.runtime, [...args, target.id], streams, signal);
    signal.throwIfAborted();
    return code;
  } finally {
    signal.removeEventListener("abort", onAbort);
    rmSync(processFile, { force: true });
    rmSync(pidFile, { force: true });
  }
}

// As the container's own process, with another command. File limits and user are inherited from there.
function processOf(target: ExecTarget, tty: boolean): Record<string, unknown> {
  const config = JSON.parse(readFileSync(join(target.bundle, "config.json"), "utf8")) as {
    readonly process: Readonly<Record<string, unknown>> & { readonly env: readonly string[] };
  };
  const env =
    tty && !config.process.env.some((line) => line.startsWith("TERM="))
      ? [...config.process.env, "TERM=xterm"]
      : config.process.env;
  return { ...config.process, terminal: tty, args: target.command, env };
}

async function runWithPipes(
  path: string,
  args: readonly string[],
  streams: ExecStreams,
  signal: AbortSignal,
): Promise<number> {
  const child = spawn(path, args, { stdio: [streams.stdin ? "pipe" : "ignore", "pipe", "pipe"] });
  const errors: Buffer[] = [];
  const reading = [
    pump(child.stdout, streams.stdout),
    pump(child.stderr, (chunk) => {
      if (errors.length < 16) errors.push(Buffer.from(chunk));
      return streams.stderr?.(chunk);
    }),
  ];
  const writing = feed(child, streams.stdin);
  const code = await ended(child, signal);
  await Promise.all(reading);
  // The input may go on for ever; nobody reads it any more.
  void writing;
  return explainRefusal(code, Buffer.concat(errors).toString("utf8"));
}

// crun's own failures look like the command's: told apart by the text, which names what could not be run.
function explainRefusal(code: number, errors: string): number {
  const isRefusal =
    /executable file .* not found|exec: .*not found|container .* does not exist|error opening file .*status/.test(
      errors,
    );
  if (code !== 0 && isRefusal && !/\n.+\n/.test(errors)) throw new RuntimeFailure("start", errors.trim());
  return code;
}

async function runInTerminal(
  target: ExecTarget,
  args: readonly string[],
  pidFile: string,
  streams: ExecStreams,
  signal: AbortSignal,
): Promise<number> {
  const { spawn: spawnInTerminal } = await import("@lydell/node-pty");
  const terminal = spawnInTerminal(target.runtime, [...args], { name: "xterm", cols: 80, rows: 24, encoding: null });
  const stop = () => terminal.kill("SIGKILL");
  signal.addEventListener("abort", stop, { once: true });
  // A size that arrives before the process is there is set with its first output.
  let pending: WindowSize | undefined;
  const resizeInner = (size: WindowSize) => {
    pending = resizeInputOf(target.libc, readPid(pidFile), size) ? undefined : size;
  };
  terminal.onData((chunk) => {
    if (pending) resizeInner(pending);
    void streams.stdout?.(Buffer.from(chunk));
  });
  void forEach(streams.resize, (size) => {
    terminal.resize(Math.max(1, size.columns), Math.max(1, size.rows));
    resizeInner(size);
  });
  const decoder = new StringDecoder("utf8");
  void forEach(streams.stdin, (chunk) => terminal.write(decoder.write(Buffer.from(chunk))));
  try {
    return await new Promise<number>((resolve) =>
      terminal.onExit(({ exitCode, signal: number }) => resolve(number ? 128 + number : exitCode)),
    );
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function ended(child: ChildProcess, signal: AbortSignal): Promise<number> {
  const stop = () => child.kill("SIGKILL");
  signal.addEventListener("abort", stop, { once: true });
  return new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, name) => resolve(code ?? (name === null ? 255 : 137)));
  }).finally(() => signal.removeEventListener("abort", stop));
}

async function pump(from: NodeJS.ReadableStream | null, to: ExecStreams["stdout"]): Promise<void> {
  if (!from) return;
  for await (const chunk of from) await to?.(chunk as Buffer);
}

async function feed(child: ChildProcess, from: ExecStreams["stdin"]): Promise<void> {
  const { stdin } = child;
  if (!stdin || !from) return;
  // The command may end, or close its input, before all was written.
  stdin.on("error", () => {});
  try {
    for await (const chunk of from) {
      if (stdin.destroyed) return;
      if (!stdin.write(chunk)) await new Promise((resolve) => stdin.once("drain", resolve).once("close", resolve));
    }
  } finally {
    stdin.end();
  }
}

async function forEach<T>(values: AsyncIterable<T> | undefined, use: (value: T) => void): Promise<void> {
  try {
    for await (const value of values ?? []) use(value);
  } catch {
    // The terminal or its client is gone.
  }
}

function killInner(pidFile: string): void {
  try {
    const pid = readPid(pidFile);
    if (pid > 0) process.kill(pid, "SIGKILL");
  } catch {
    // Over already.
  }
}

// 0, which no process has, until the process is started.
function readPid(pidFile: string): number {
  try {
    return Number(readFileSync(pidFile, "utf8"));
  } catch {
    return 0;
  }
}
