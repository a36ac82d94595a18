/**
 * Starts programs without copying this process. Node's own `spawn` forks: the pages of a process of 100 MB are marked and its tables copied while its event loop stands still, and each page that is written
 * afterwards is copied once more (9 ms of CPU, measured, for a program that does nothing). posix_spawn(3) borrows the memory until the program runs: 0.2 ms, on another thread.
 */
import { closeSync, fstatSync, readSync, writeSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import { SystemCallError } from "./libc.ts";

/** A program, as it is started. */
export type ProgramStart = {
  /** Looked for in PATH where there is no slash in it. */
  readonly path: string;
  readonly args: readonly string[];
  /** Absent: this process' own. */
  readonly env?: Readonly<Record<string, string>>;
  readonly folder?: string;
  /** What it has as descriptors 0, 1, 2, …; undefined is /dev/null. They are this process' until {@link Programs.start} has resolved. */
  readonly descriptors: readonly (number | undefined)[];
  /** Away from this process' terminal and group: what ends us by a signal to the group does not end it. */
  readonly ownSession?: boolean;
};

/** How a program ended: with a code, or by the number of a signal. */
export type ProgramEnd = { readonly code: number } | { readonly signal: number };

/** Starts programs. */
export interface Programs {
  /** Resolves with the process' number once the program runs. Whoever starts one waits for its end too, or the kernel keeps it. Throws {@link SystemCallError}. */
  start(program: ProgramStart): Promise<number>;
  /** Takes a thread of the pool until then: for programs that are short, or that have as good as ended. */
  waitFor(pid: number): Promise<ProgramEnd>;
  /** A pipe; neither end is passed on but by {@link ProgramStart.descriptors}. */
  openPipe(): { readonly read: number; readonly write: number };
  /** A file without a name, in memory, at whose beginning it stands. */
  openMemoryFile(content: string): number;
}

/** Enough for posix_spawn_file_actions_t, posix_spawnattr_t, and sigset_t. */
const opaqueBytes = 512;
const signalSetBytes = 128;
const [setSignalDefaults, setSignalMask, setSession] = [0x04, 0x08, 0x80];
const waitTries = 3;
const closeOnExec = 0o2000000;
const memoryCloseOnExec = 1;
const readWrite = 2;

/** Loads what of the C library this needs. */
export async function loadPrograms(): Promise<Programs> {
  const koffi = (await import("koffi")).default;
  const library = koffi.load("libc.so.6");
  const call = (definition: string) => library.func(definition) as Call;
  const initActions = call("int posix_spawn_file_actions_init(void *actions)");
  const duplicate = call("int posix_spawn_file_actions_adddup2(void *actions, int from, int to)");
  const open = call(
    "int posix_spawn_file_actions_addopen(void *actions, int fd, const char *path, int flags, uint mode)",
  );
  const close = call("int posix_spawn_file_actions_addclose(void *actions, int fd)");
  const changeFolder = call("int posix_spawn_file_actions_addchdir_np(void *actions, const char *path)");
  const destroyActions = call("int posix_spawn_file_actions_destroy(void *actions)");
  const initAttributes = call("int posix_spawnattr_init(void *attributes)");
  const setFlags = call("int posix_spawnattr_setflags(void *attributes, short flags)");
  const setDefaults = call("int posix_spawnattr_setsigdefault(void *attributes, const void *set)");
  const setMask = call("int posix_spawnattr_setsigmask(void *attributes, const void *set)");
  const spawn = call(
    "int posix_spawnp(_Out_ int *pid, const char *path, const void *actions, const void *attributes, const char **args, const char **env)",
  );
  const waitpid = call("int waitpid(int pid, _Out_ int *status, int options)");
  const pipe2 = call("int pipe2(_Out_ int *ends, int flags)");
  const memoryFile = call("int memfd_create(const char *name, uint flags)");

  const must = (result: number, name: string) => {
    if (result < 0) throw new SystemCallError(name, getSystemErrorName(-koffi.errno()), "");
    return result;
  };

  /** All sources are moved out of the way first: one may have the number that another is to get. */
  const fileActions = ({ descriptors, folder }: ProgramStart): Buffer => {
    const actions = Buffer.alloc(opaqueBytes);
    initActions(actions);
    if (folder !== undefined) changeFolder(actions, folder);
    const free = Math.max(descriptors.length, ...descriptors.map((fd) => fd ?? 0)) + 1;
    for (const [to, from] of descriptors.entries()) if (from !== undefined) duplicate(actions, from, free + to);
    for (const [to, from] of descriptors.entries()) {
      if (from === undefined) open(actions, to, "/dev/null", readWrite, 0);
      else {
        duplicate(actions, free + to, to);
        close(actions, free + to);
      }
    }
    return actions;
  };

  /** No signal is ignored or held back, as Node's own `spawn` has it. */
  const attributesOf = ({ ownSession = false }: ProgramStart): Buffer => {
    const attributes = Buffer.alloc(opaqueBytes);
    initAttributes(attributes);
    setFlags(attributes, setSignalDefaults | setSignalMask | (ownSession ? setSession : 0));
    setDefaults(attributes, Buffer.alloc(signalSetBytes, 0xff));
    setMask(attributes, Buffer.alloc(signalSetBytes));
    return attributes;
  };

  return {
    async start(program) {
      const { path, args, env = process.env } = program;
      const [actions, attributes] = [fileActions(program), attributesOf(program)];
      const lines = Object.entries(env).map(([name, value]) => `${name}=${value}`);
      const pid = [0];
      const failed = await later(spawn, pid, path, actions, attributes, [path, ...args, null], [...lines, null]);
      destroyActions(actions);
      if (failed !== 0) throw new SystemCallError("posix_spawn", getSystemErrorName(-failed), path);
      return pid[0] as number;
    },
    async waitFor(pid) {
      const status = [0];
      // A signal to that very thread may interrupt it; what else can go wrong is that the process is not ours.
      for (let left = waitTries; (await later(waitpid, pid, status, 0)) !== pid; left--)
        if (left === 0) throw new SystemCallError("waitpid", "ECHILD", String(pid));
      return endOf(status[0] as number);
    },
    openPipe() {
      const ends = [0, 0];
      must(pipe2(ends, closeOnExec), "pipe2");
      return { read: ends[0] as number, write: ends[1] as number };
    },
    openMemoryFile(content) {
      const fd = must(memoryFile("nodeless", memoryCloseOnExec), "memfd_create");
      const bytes = Buffer.from(content);
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
      return fd;
    },
  };
}

/** Runs a program to its end on such input, and gives what it said on standard error. Throws {@link SystemCallError} where it cannot be started. */
export async function runOn(
  programs: Programs,
  { path, args, input }: { readonly path: string; readonly args: readonly string[]; readonly input: string },
): Promise<{ readonly end: ProgramEnd; readonly errors: string }> {
  const [given, said] = [programs.openMemoryFile(input), programs.openMemoryFile("")];
  try {
    const pid = await programs.start({ path, args, descriptors: [given, undefined, said] });
    const end = await programs.waitFor(pid);
    return { end, errors: readAll(said) };
  } finally {
    closeSync(given);
    closeSync(said);
  }
}

/** However it was written, from the beginning. */
function readAll(fd: number): string {
  const bytes = Buffer.alloc(fstatSync(fd).size);
  return bytes.toString("utf8", 0, readSync(fd, bytes, 0, bytes.length, 0));
}

type Call = ((...args: unknown[]) => number) & {
  async(...args: [...unknown[], (error: Error | null, result: number) => void]): void;
};

/** On a thread of the pool. */
function later(call: Call, ...args: unknown[]): Promise<number> {
  return new Promise((resolve, reject) =>
    call.async(...args, (error, result) => (error ? reject(error) : resolve(result))),
  );
}

/** As wait(2) packs it. */
function endOf(status: number): ProgramEnd {
  const signal = status & 0x7f;
  return signal === 0 ? { code: (status >> 8) & 0xff } : { signal };
}
