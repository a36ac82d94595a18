/**
 * conmon: the small process that stands beside each container, holds its streams, writes its log and its exit code, and outlives us. Starting it creates the
 * container; that it ended is seen by a FIFO that it keeps open.
 */
import { closeSync, constants, openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { basename, join } from "node:path";
import type { Libc } from "#linux/libc.ts";
import { identifyProcess } from "#linux/processes.ts";
import type { Programs } from "#linux/programs.ts";
import type { CreatedProcesses } from "./process-maker.ts";
import { RuntimeFailure } from "./settings.ts";

const firstInherited = 3;

/** What conmon is started with. All paths are absolute. */
export type ConmonOptions = {
  readonly conmon: string;
  readonly runtime: string;
  /** Where the OCI runtime keeps its state. */
  readonly runtimeRoot: string;
  readonly id: string;
  readonly name: string;
  /** Holds config.json; working folder of conmon, which leaves `oom`, `ctl` and its pid files there. */
  readonly bundle: string;
  readonly exitFolder: string;
  readonly logPath: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  /** Descriptors that the container's process has as 3, 4, …: passed on as systemd passes sockets. */
  readonly inherit?: readonly number[] | undefined;
};

/** What conmon is started by. */
export type ConmonStarter = { readonly libc: Libc; readonly programs: Programs };

/** Creates the container under a new conmon. Throws {@link RuntimeFailure}, at the step "start" with the OCI runtime's words. */
export async function createUnderConmon(starter: ConmonStarter, options: ConmonOptions): Promise<CreatedProcesses> {
  const { libc, programs } = starter;
  const alive = join(options.bundle, "alive");
  libc.mkfifo(alive, 0o600);
  // Both ways, so that opening does not wait for a reader.
  const aliveFd = openSync(alive, constants.O_RDWR | constants.O_NONBLOCK);
  const pipe = programs.openPipe();
  const report = readReport(new Socket({ fd: pipe.read, readable: true, writable: false }), options);
  try {
    const pid = await startConmon(programs, options, { report: pipe.write, alive: aliveFd });
    // It leaves a child behind, which is the monitor, and ends at once. How, its report tells.
    void programs.waitFor(pid).catch(() => {});
  } catch (cause) {
    report.catch(() => {}); // that it ended without one
    throw new RuntimeFailure("create", `cannot start ${options.conmon}: ${(cause as Error).message}`, { cause });
  } finally {
    closeSync(aliveFd);
    closeSync(pipe.write);
  }
  const created = await report;
  const monitorPid = Number(readFileSync(join(options.bundle, "conmon.pid"), "utf8"));
  const container = identifyProcess(created);
  const monitor = identifyProcess(monitorPid);
  if (!container || !monitor) throw new RuntimeFailure("start", "the container ended while it was created");
  return { container, monitor };
}

function startConmon(
  programs: Programs,
  options: ConmonOptions,
  { report, alive }: { readonly report: number; readonly alive: number },
): Promise<number> {
  const { inherit = [] } = options;
  return programs.start({
    path: options.conmon,
    args: conmonArguments(options),
    folder: options.bundle,
    ownSession: true,
    descriptors: [undefined, undefined, undefined, ...inherit, report, alive],
    env: {
      _OCI_SYNCPIPE: String(firstInherited + inherit.length),
      PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
      ...(inherit.length > 0 && { LISTEN_FDS: String(inherit.length), LISTEN_PID: "1" }),
    },
  });
}

/** Calls back once when the conmon that has the FIFO open has ended. Gives a function that stops watching. */
export function watchConmon(bundle: string, onEnd: () => void): () => void {
  let fd: number;
  try {
    fd = openSync(join(bundle, "alive"), constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    setImmediate(onEnd);
    return () => {};
  }
  // The kernel reports an end only to readers who saw a writer: ask once.
  if (hasNoWriter(fd)) {
    closeSync(fd);
    setImmediate(onEnd);
    return () => {};
  }
  const socket = new Socket({ fd, readable: true, writable: false });
  socket.on("error", () => {});
  socket.once("close", onEnd);
  socket.resume();
  return () => {
    socket.removeListener("close", onEnd);
    socket.destroy();
  };
}

/** Makes conmon open its log file anew, after the old one was renamed away. */
export function reopenConmonLog(bundle: string): void {
  writeControl(bundle, "2 0 0\n");
}

// Without waiting: a FIFO whose reader is gone must not hold us up.
function writeControl(bundle: string, line: string): void {
  const fd = openSync(join(bundle, "ctl"), constants.O_WRONLY | constants.O_NONBLOCK);
  try {
    writeFileSync(fd, line);
  } finally {
    closeSync(fd);
  }
}

function conmonArguments(options: ConmonOptions): string[] {
  const { bundle } = options;
  const id = ["-c", options.id, "-u", options.id, "-n", options.name];
  const files = ["-p", join(bundle, "pid"), "-P", join(bundle, "conmon.pid"), "--exit-dir", options.exitFolder];
  const log = ["-l", `k8s-file:${options.logPath}`, "--log-level", "error"];
  // The socket `attach` is in the bundle, by a path relative to it: addresses hold 108 bytes only.
  const sockets = ["--socket-dir-path", bundle, "--full-attach"];
  const terminal = options.tty ? ["-t"] : [];
  const stdin = options.stdin ? ["-i", ...(options.stdinOnce ? [] : ["--leave-stdin-open"])] : [];
  const runtime = ["-r", options.runtime, "--runtime-arg", "--root", "--runtime-arg", options.runtimeRoot];
  return ["--api-version", "1", "-b", bundle, ...id, ...files, ...log, ...sockets, ...terminal, ...stdin, ...runtime];
}

// One line of JSON: the pid as a positive number, or -1 and what the runtime said.
function readReport(pipe: Socket, options: ConmonOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = "";
    const fail = (message: string, cause?: unknown): void => {
      pipe.destroy();
      reject(new RuntimeFailure("create", message, { cause }));
    };
    pipe.on("error", (error) => fail(`lost conmon of ${options.id}: ${error.message}`, error));
    pipe.on("data", (chunk: Buffer) => {
      text += chunk.toString("utf8");
      if (!text.includes("\n")) return;
      const report = parseReport(text);
      pipe.destroy();
      if (report.data > 0) resolve(report.data);
      else reject(refusal(options.runtime, report.message ?? `exit code ${-report.data}`));
    });
    pipe.once("end", () => fail(`conmon of ${options.id} ended without a report: ${text}`));
  });
}

/** The OCI runtime could not run the process. The sentence is containerd's. */
function refusal(runtime: string, words: string): RuntimeFailure {
  const name = basename(runtime);
  const said = words.startsWith(`${name}: `) ? words : `${name}: ${words}`;
  return new RuntimeFailure("start", `OCI runtime create failed: ${said}`);
}

function parseReport(text: string): { readonly data: number; readonly message?: string } {
  try {
    const { data, pid, message } = JSON.parse(text) as { data?: number; pid?: number; message?: string };
    return { data: data ?? pid ?? -1, ...(message !== undefined && { message: message.trim() }) };
  } catch {
    return { data: -1, message: text.trim() };
  }
}

function hasNoWriter(fd: number): boolean {
  try {
    return readSync(fd, Buffer.alloc(1)) === 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return false;
    throw error;
  }
}
