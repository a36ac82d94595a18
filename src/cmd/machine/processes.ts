/**
 * Starts a cluster's processes: detached, each with its log file, and with a pipe on which the process that asked hears of progress.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { permitVariable, type RunPermit } from "./run-permit.ts";
import { type ProcessRole, progressVariable, type StageMessage } from "./supervision.ts";

/** A process to start. */
export type ProcessSpec = {
  /** Which entry point: dist/NAME.js. */
  readonly entry: ProcessRole;
  readonly args: readonly string[];
  readonly logFile: string;
  /** Runs before the program: `["nsenter", "--net=…", "--"]`. */
  readonly prefix?: readonly string[];
  /** Descriptors that the process gets as 4, 5, …, or files that are opened for it alone: see {@link machineNamespaces}. */
  readonly inherit?: readonly (number | string)[];
  /** What it may run under, and hands on to whom it starts. */
  readonly permit?: RunPermit | undefined;
};

/**
 * How a node, which lives in namespaces of its own, starts the control plane in the machine's: it was given them open, as descriptors 4 and 5, by the control plane that
 * started it.
 */
export const machineNamespaces: Required<Pick<ProcessSpec, "prefix" | "inherit">> = {
  prefix: ["nsenter", "--mount=/proc/self/fd/4", "--net=/proc/self/fd/5", "--"],
  inherit: [4, 5],
};

/** How a start went. */
export type StartOutcome =
  | { readonly ok: true; readonly pid: number }
  /** `isLate`: it is there, and was not ready within the time. */
  | { readonly ok: false; readonly isLate: boolean; readonly why: string };

/** Descriptor on which a child reports progress, as lines of JSON. */
const progressDescriptor = 3;

/** Starts a process and follows its progress until it is ready or has failed, or the signal aborts. It lives on when this one ends. */
export function startAndFollow(
  spec: ProcessSpec,
  onStage: (message: StageMessage) => void,
  signal?: AbortSignal,
): Promise<StartOutcome> {
  const child = launch(spec);
  const pipe = child.stdio[progressDescriptor];
  return new Promise((resolve) => {
    let rest = "";
    let failure: string | undefined;
    const end = (outcome: StartOutcome) => {
      signal?.removeEventListener("abort", giveUp);
      child.removeAllListeners();
      pipe?.destroy();
      child.unref();
      resolve(outcome);
    };
    const giveUp = () => end({ ok: false, isLate: true, why: "it was not ready in time" });
    signal?.addEventListener("abort", giveUp, { once: true });
    pipe?.on("data", (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const message = JSON.parse(line) as StageMessage | { readonly ready: true } | { readonly bye: true };
        if ("bye" in message) continue;
        if ("ready" in message) return end({ ok: true, pid: child.pid ?? 0 });
        if (message.state === "failed") failure = message.detail;
        onStage(message);
      }
    });
    child.on("error", (error) => end({ ok: false, isLate: false, why: error.message }));
    child.on("exit", (code, signal) => {
      const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
      end({
        ok: false,
        isLate: false,
        why: failure ?? `${spec.entry} ${how}; its log ${spec.logFile} ends with:\n${lastLines(spec.logFile, 5)}`,
      });
    });
  });
}

function launch({ entry, args, logFile, prefix = [], inherit = [], permit }: ProcessSpec): ChildProcess {
  mkdirSync(dirname(logFile), { recursive: true, mode: 0o700 });
  const log = openSync(logFile, "a", 0o600);
  const given = inherit.map((one) => (typeof one === "string" ? openSync(one, "r") : one));
  const opened = given.filter((_, index) => typeof inherit[index] === "string");
  try {
    const own = process.argv[1] ?? "";
    const program = join(dirname(own), `${entry}${extname(own)}`);
    const words = [...prefix, process.execPath, ...nodeOptions, program, ...args];
    const descriptors = ["pipe", ...given, ...(permit === undefined ? [] : [permit.descriptor])] as const;
    const env = {
      ...process.env,
      [progressVariable]: String(progressDescriptor),
      ...(permit === undefined ? {} : { [permitVariable]: String(progressDescriptor + descriptors.length - 1) }),
    };
    return spawn(words[0] ?? "", words.slice(1), {
      detached: true,
      stdio: ["ignore", log, log, ...descriptors],
      cwd: "/",
      env,
    });
  } finally {
    for (const file of [log, ...opened]) closeSync(file);
  }
}

// With V8's default, 32 MB, a collection of the young generation takes twice as long as the event loop may stand still, and most of the memory in use is its pages.
const nodeOptions = ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=16"];

const longestLine = 1000;

function lastLines(file: string, count: number): string {
  const lines = readFileSync(file, "utf8").trim().split("\n").slice(-count);
  // Node shows the line in which an error was thrown, and that may be a whole bundle.
  return lines.map((line) => (line.length > longestLine ? `${line.slice(0, longestLine)}…` : line)).join("\n");
}
