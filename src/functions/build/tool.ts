/**
 * Runs a tool of a build (git, npm, pip): what it prints are lines of the build's log, and nobody is there to be asked.
 */
import { type SpawnOptions, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

/** A tool that did not do what it was told. `lines` are the last that it said. */
export class ToolFailed extends Error {
  readonly kind = "ToolFailed";
  readonly lines: readonly string[];
  constructor(message: string, lines: readonly string[], options?: ErrorOptions) {
    super(message, options);
    this.lines = lines;
  }
}

/** The tool is not on this machine. */
export class ToolMissing extends Error {
  readonly kind = "ToolMissing";
}

/** Hears what a build has to say. */
export type LineSink = (line: string) => void;

const keptLines = 8;

/** Runs it to its end; gives what it printed on standard output, up to a line each. Throws {@link ToolFailed}, {@link ToolMissing}. */
export async function runTool(
  command: readonly [string, ...string[]],
  options: {
    readonly cwd: string;
    readonly environment: Readonly<Record<string, string>>;
    /** Whom it runs as, where this process can choose. */
    readonly user: number | undefined;
    readonly say: LineSink;
  },
): Promise<readonly string[]> {
  const [program, ...args] = command;
  const { cwd, environment, user, say } = options;
  const start = (as: SpawnOptions) =>
    spawn(program, args, { cwd, env: environment, ...as, stdio: ["ignore", "pipe", "pipe"] });
  const child = asUser(user, start);
  const said: string[] = [];
  const printed: string[] = [];
  const follow = async (stream: Readable, keep: string[]) => {
    for await (const line of createInterface({ input: stream })) {
      keep.push(line);
      said.push(line);
      say(line);
    }
  };
  const following = Promise.all([follow(child.stdout, printed), follow(child.stderr, [])]);
  const end = await new Promise<string>((resolve, reject) => {
    child.once("error", (cause: NodeJS.ErrnoException) =>
      reject(cause.code === "ENOENT" ? new ToolMissing(`${program} is not on this machine`, { cause }) : cause),
    );
    child.once("close", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  await following;
  if (end !== "exit code 0")
    throw new ToolFailed(`${program} ended with ${end}`, said.filter(Boolean).slice(-keptLines));
  return printed;
}

/**
 * Starts a tool as the user for good. This process reads sources with his rights and could take its own back: a tool that it started then could too.
 */
function asUser<T>(user: number | undefined, start: (as: SpawnOptions) => T): T {
  if (user === undefined || process.getuid?.() !== 0) return start({});
  const [euid, egid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
  process.seteuid?.(0);
  process.setegid?.(0);
  try {
    return start({ uid: user, gid: user });
  } finally {
    process.setegid?.(egid);
    process.seteuid?.(euid);
  }
}

/** What tools see of this machine: no settings and no credentials of whoever runs it. */
export function toolEnvironment(home: string): Readonly<Record<string, string>> {
  const passed = [
    "PATH",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "NODE_EXTRA_CA_CERTS",
  ];
  const kept = passed.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]!] as const]));
  return { ...Object.fromEntries(kept), HOME: home, TMPDIR: home, LANG: "C.UTF-8", CI: "1" };
}
