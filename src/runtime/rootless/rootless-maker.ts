/**
 * Makes caged processes without root. Beside each stands a shell, which waits for its end and writes down the exit code; between them `unshare`, which makes the namespaces, and our
 * launcher, which turns into the program. The log is written by the agent (`log-writer.ts`).
 */
import { spawn } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { release } from "node:os";
import type { Socket } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Libc } from "#linux/libc.ts";
import { identifyProcess, signalProcess } from "#linux/processes.ts";
import { makeBareRoot } from "#runtime/bare-root.ts";
import type { ContainerRecord } from "#runtime/container-record.ts";
import type { Logger } from "#component-base/logger.ts";
import type { CreatedProcesses, MakePlan, ProcessMaker } from "#runtime/process-maker.ts";
import { RuntimeFailure } from "#runtime/settings.ts";
import type { CageFile } from "./cage-file.ts";
import { LogWriter, outputFifos } from "./log-writer.ts";
import type { NamespaceSupport } from "./user-namespaces.ts";

/** What it works with. */
export type RootlessMakerParts = {
  readonly libc: Libc;
  readonly logger: Logger;
  readonly namespaces: NamespaceSupport;
  /** A compiled seccomp filter. */
  readonly filterFile: string;
  readonly searchPath: string;
};

const firstInherited = 3;
const shell = "/bin/sh";
/** What the programs on the way to the cage say; the process's own words go elsewhere. */
const complaints = "launch.err";
// The shell alone holds `alive`. unshare of util-linux 2.38 ends with 1 and a complaint, instead of 137, when its process was killed.
const monitorScript = (alive: number): string =>
  `echo $$ >"$1/conmon.pid"; said="$1/${complaints}"; exit_file=$2; shift 2; "$@" 2>"$said" ${alive}>&-; code=$?; ` +
  `[ $code = 1 ] && [ -s "$said" ] && code=137; echo $code >"$exit_file"`;
const drainPatienceMs = 1000;

/** Cages by user namespaces, or by what is left where those are forbidden. */
export class RootlessMaker implements ProcessMaker {
  readonly #parts: RootlessMakerParts;
  readonly #logs = new Map<string, LogWriter>();

  constructor(parts: RootlessMakerParts) {
    this.#parts = parts;
  }

  async create(plan: MakePlan): Promise<CreatedProcesses> {
    const { record, image, folder, exitFolder, inherit } = plan;
    if (image) throw new RuntimeFailure("create", "containers need root: without it only isolates run");
    const { libc, namespaces, searchPath } = this.#parts;
    const prefix = "prefix" in namespaces ? namespaces.prefix : [];
    const [alive, out, errors] = ["alive", outputFifos.stdout, outputFifos.stderr].map((name) => {
      libc.mkfifo(join(folder, name), 0o600);
      // Both ways, so that opening does not wait for a reader.
      return openSync(join(folder, name), constants.O_RDWR | constants.O_NONBLOCK);
    }) as [number, number, number];
    const report = firstInherited + inherit.length;
    const cageFile = join(folder, "cage.json");
    const rootfs = makeBareRoot(folder);
    mkdirSync(join(rootfs, "etc"), { recursive: true, mode: 0o755 });
    writeFileSync(cageFile, JSON.stringify(this.#cage(plan, rootfs, report)), { mode: 0o600 });
    try {
      const words = [folder, join(exitFolder, record.id), ...prefix, process.execPath, launcher(), cageFile];
      const child = spawn(shell, ["-c", monitorScript(report + 1), record.settings.name, ...words], {
        cwd: folder,
        detached: true,
        stdio: ["ignore", out, "ignore", ...inherit, "pipe", alive, errors],
        env: { PATH: searchPath },
      });
      const pid = await readReport(child.stdio[report] as Socket, () => readIfThere(join(folder, complaints)).trim());
      const [container, monitor] = [identifyProcess(pid), identifyProcess(child.pid ?? 0)];
      if (!container || !monitor) throw new RuntimeFailure("create", "the process ended while it was made");
      child.unref();
      // While we hold the other end too: nothing that is said is lost, however soon it ends.
      this.attend(record, folder);
      return { container, monitor };
    } finally {
      for (const descriptor of [alive, out, errors]) closeSync(descriptor);
    }
  }

  /** It began when it was made. */
  start(): Promise<void> {
    return Promise.resolve();
  }

  attend({ id, settings }: ContainerRecord, folder: string): void {
    if (this.#logs.has(id)) return;
    if (!existsSync(join(folder, outputFifos.stdout))) return;
    const onFailure = (error: unknown) => {
      this.#parts.logger.error("Could not write a container's log; lines of it are lost", {
        path: settings.logPath,
        error,
      });
    };
    this.#logs.set(id, new LogWriter(folder, settings.logPath, onFailure));
  }

  async drained(id: string): Promise<void> {
    const log = this.#logs.get(id);
    if (!log) return;
    // Somebody else may hold its output open: a process that it left behind, where there are no namespaces.
    await Promise.race([log.drained(), new Promise((resolve) => setTimeout(resolve, drainPatienceMs).unref())]);
    this.#forget(id);
  }

  reopenLog({ id, settings }: ContainerRecord): void {
    this.#logs.get(id)?.reopen(settings.logPath);
  }

  close(): void {
    for (const id of this.#logs.keys()) this.#forget(id);
  }

  /** The shell has ended by now, and with it a process that has no namespaces; `unshare` takes the others along. */
  abort(folder: string): void {
    killLaunchers(folder);
  }

  discard(id: string): void {
    this.#forget(id);
  }

  #forget(id: string): void {
    this.#logs.get(id)?.close();
    this.#logs.delete(id);
  }

  #cage({ record: { settings }, sandbox, inherit }: MakePlan, rootfs: string, report: number): CageFile {
    const { namespaces, filterFile } = this.#parts;
    const hasNamespaces = "prefix" in namespaces;
    const { mounts, command, args, env, limits } = settings;
    const [program = "", ...words] = command;
    const onMachine = new Map(mounts.map(({ hostPath, containerPath }) => [containerPath, hostPath]));
    const path = (inCage: string): string => (hasNamespaces ? inCage : (onMachine.get(inCage) ?? inCage));
    return {
      hasNamespaces,
      rootfs,
      mounts,
      hostname: sandbox.settings.hostname,
      command: path(program),
      args: [...words, ...args].map(path),
      env: env.map(({ name, value }) => `${name}=${path(value)}`),
      filterFile,
      // Counted by user namespace since Linux 5.14; before, all that the user runs would count.
      mostProcesses: hasNamespaces && isKernelSince(5, 14) ? limits.pidsLimit : undefined,
      errors: report + 2,
      keep: [0, 1, 2, ...inherit.keys().map((index) => firstInherited + index)],
      report,
    };
  }
}

/** Kills what has a path below this folder in its command line: shells, `unshare` with all that is in its namespaces, launchers. */
export function killLaunchers(folder: string): void {
  for (const pid of readdirSync("/proc").map(Number).filter(Boolean)) {
    const identity = identifyProcess(pid);
    if (identity && readCommand(pid).includes(`\0${folder}/`)) signalProcess(identity, "SIGKILL");
  }
}

function isKernelSince(major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = release().split(".").map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

/** In the bundle the launcher is an entry point of its own. */
function launcher(): string {
  const places = ["./cage-main.ts", "./cage.js", "../cage.js"];
  const files = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  return files.find((file) => existsSync(file)) ?? files[0]!;
}

function readReport(pipe: Socket, explain: () => string): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = "";
    const fail = (why: string) => reject(new RuntimeFailure("create", `cannot cage a process: ${why}`));
    pipe.on("error", (error) => fail(error.message));
    pipe.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (!text.includes("\n")) return;
      pipe.destroy();
      const { pid, message = "" } = JSON.parse(text) as { readonly pid: number; readonly message?: string };
      if (pid > 0) resolve(pid);
      else fail(message);
    });
    pipe.once("end", () => fail(explain() || "the launcher ended without a word"));
  });
}

function readCommand(pid: number): string {
  return readIfThere(`/proc/${pid}/cmdline`);
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return ""; // gone, or never there
  }
}
