/**
 * Runs a program that works on what strangers wrote: in namespaces of its own (users, processes, mounts), where its root is nobody on the machine. It sees one folder of ours, at
 * /mnt, and the machine's network. When it is told to stop, or this process ends, everything in there ends with it and its mounts are gone.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

/** What is run. */
export type SealedProgram = {
  /** A script of `sh`; its arguments are $1, $2, … */
  readonly script: string;
  readonly arguments: readonly string[];
  /** Is /mnt in there; must belong to {@link sealedUser}. */
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Each line that it says, without its end. */
  readonly onLine: (line: string) => void;
};

/** Root in there is this user out here, and those after it are the 65,535 after: nobody gives them out. Without root: whoever we are, and the ids that /etc/subuid has for us. */
export const sealedUser = 1_900_000_000;
const sealedUsers = 65_536;
const longestLine = 4096;

/** Runs it to its end; gives its exit code. Rejects when it is aborted, after it has ended. Throws when the machine does not let us. */
export async function runSealed(program: SealedProgram, signal: AbortSignal): Promise<number> {
  signal.throwIfAborted();
  const isRoot = process.geteuid?.() === 0;
  const [command = "", ...flags] = isRoot ? asRoot(program) : asUser(program);
  const child = spawn(command, flags, { env: program.environment, stdio: ["pipe", "pipe", "pipe"] });
  const stop = () => void child.kill("SIGKILL");
  signal.addEventListener("abort", stop, { once: true });
  try {
    const ended = endOf(child);
    child.stdin.on("error", () => {}); // it may have ended already, which is said below
    const told = [tell(child.stderr, program.onLine), tell(child.stdout, program.onLine, () => begin(child, isRoot))];
    const code = await ended;
    await Promise.all(told);
    signal.throwIfAborted();
    return code;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

// The folder is bound before root becomes nobody, who could not reach it. Then we say who is who in there.
function asRoot({ script, folder, arguments: rest }: SealedProgram): string[] {
  const users = `echo ready; read -r go; exec setpriv --reuid 0 --regid 0 --clear-groups --pdeathsig KILL ${unshareRest} "$@"`;
  const mounts = `mount --bind "$1" /mnt; shift; exec unshare --user --keep-caps sh -ec '${users}' sh "$@"`;
  return ["unshare", "--mount", "sh", "-ec", mounts, "sh", folder, ...inner(script), ...rest];
}

function asUser({ script, folder, arguments: rest }: SealedProgram): string[] {
  const mounts = `echo ready; read -r go; mount --bind "$1" /mnt; shift; exec setpriv --pdeathsig KILL ${unshareRest} "$@"`;
  // His own ids and those that the machine has put aside for him (/etc/subuid), by the programs that may hand them out.
  const users = ["unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--keep-caps"];
  return [...users, "sh", "-ec", mounts, "sh", folder, ...inner(script), ...rest];
}

const unshareRest = "unshare --pid --fork --mount --mount-proc --ipc --uts --kill-child=KILL";

// What root has of containers is not for nobody to stumble over.
function inner(script: string): string[] {
  const masked = "if [ -d /var/lib/containers ]; then mount -t tmpfs tmpfs /var/lib/containers; fi";
  return ["sh", "-ec", `${masked}\n${script}`, "sh"];
}

function begin(child: ChildProcessByStdio<Writable, Readable, Readable>, isRoot: boolean): void {
  try {
    if (isRoot) {
      const map = `0 ${sealedUser} ${sealedUsers}\n`;
      writeFileSync(`/proc/${child.pid}/uid_map`, map);
      writeFileSync(`/proc/${child.pid}/gid_map`, map);
    }
    child.stdin.end("go\n");
  } catch (error) {
    child.emit(
      "error",
      new Error(`this machine has no user namespaces for us: ${(error as Error).message}`, { cause: error }),
    );
    child.kill("SIGKILL");
  }
}

// Settles when its output has ended too.
async function endOf(child: ChildProcessByStdio<Writable, Readable, Readable>): Promise<number> {
  const [code] = (await once(child, "close")) as [number | null];
  return code ?? 137;
}

async function tell(source: Readable, onLine: (line: string) => void, onReady?: () => void): Promise<void> {
  let isFirst = true;
  for await (const line of createInterface({ input: source, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (isFirst && onReady && line === "ready") onReady();
    else onLine(line.slice(0, longestLine));
    isFirst = false;
  }
}
