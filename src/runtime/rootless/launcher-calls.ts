/**
 * The C library's calls of the launcher. Each throws {@link SystemCallError}.
 */
import { getSystemErrorName } from "node:util";
import { SystemCallError } from "#linux/libc.ts";

/** Flags of mount(2). */
export const mountFlags = {
  readOnly: 1,
  noSetuid: 2,
  noDevices: 4,
  remount: 32,
  bind: 4096,
  recursive: 16_384,
} as const;

/** What the launcher does to itself. */
export interface LauncherCalls {
  /** mount(2) without a type. An empty source is none. */
  mount(source: string, target: string, flags: number): void;
  /** Flags that the mount has from whoever is more privileged, and that must stay when it is mounted anew. */
  lockedFlags(path: string): number;
  /** Makes the folder, which is a mount, the root, and takes the old root away. */
  pivotInto(folder: string): void;
  /** In the UTS namespace of this process. */
  setHostname(name: string): void;
  /** Bounds that this process and what it becomes cannot raise again: no core dumps, so many processes and threads. */
  limitResources(limits: { readonly processes: number | undefined }): void;
  /** So that even root of a user namespace has none after the next exec. */
  dropCapabilities(): void;
  /** No program that this process runs gives it more rights. Asked for by who filters system calls. */
  refuseNewPrivileges(): void;
  /** Whoever waits for this process has a hold on it by that. */
  dieWithParent(): void;
  /** `program` is an array of struct sock_filter. */
  filterSystemCalls(program: Buffer): void;
  /** Makes this descriptor standard error. */
  replaceErrors(descriptor: number): void;
  /** Node closes all descriptors but its own on exec. */
  keepOnExec(descriptors: readonly number[]): void;
  /** Does not come back. */
  execute(path: string, args: readonly string[], env: readonly string[]): void;
  /** syscall(2) with up to four arguments: numbers, or memory. */
  callByNumber(number: number, name: string, ...args: readonly (number | Buffer)[]): number;
}

const callNumbers: Readonly<Record<string, { readonly pivotRoot: number; readonly seccomp: number }>> = {
  x64: { pivotRoot: 155, seccomp: 317 },
  arm64: { pivotRoot: 41, seccomp: 277 },
};
const prctlOptions = { parentDeathSignal: 1, dropFromBoundingSet: 24, noNewPrivileges: 38 } as const;
const resources = { core: 4, processes: 6 } as const;
const seccompSetFilter = 1;
const setDescriptorFlags = 2;
const detach = 2;
const brokenPipe = 13;

/** Loads the C library. */
export async function loadLauncherCalls(): Promise<LauncherCalls> {
  const koffi = (await import("koffi")).default;
  const library = koffi.load("libc.so.6");
  const call = (definition: string) => library.func(definition) as (...args: unknown[]) => number;
  const mount = call("int mount(const char *source, const char *target, const char *type, ulong flags, void *data)");
  const umount2 = call("int umount2(const char *target, int flags)");
  const statfs = call("int statfs(const char *path, void *facts)");
  const sethostname = call("int sethostname(const char *name, size_t length)");
  const setrlimit = call("int setrlimit(int resource, const void *limits)");
  const prctl = call("int prctl(int option, ulong a, ulong b, ulong c, ulong d)");
  const dup2 = call("int dup2(int from, int to)");
  const fcntl = call("int fcntl(int fd, int command, int argument)");
  const signal = call("intptr_t signal(int number, intptr_t handler)");
  const execve = call("int execve(const char *path, const char **args, const char **env)");
  const withPaths = call("long syscall(long number, const char *first, const char *second)");
  const withWords = call("long syscall(long number, intptr_t a, intptr_t b, intptr_t c, intptr_t d)");
  const numbers = callNumbers[process.arch];
  if (!numbers) throw new Error(`processes cannot be caged on ${process.arch}`);

  const check = (result: number, name: string, about: string): number => {
    if (Number(result) < 0) throw new SystemCallError(name, getSystemErrorName(-koffi.errno()), about);
    return Number(result);
  };
  const callByNumber: LauncherCalls["callByNumber"] = (number, name, ...args) => {
    const words = [0, 1, 2, 3].map((index) => args[index] ?? 0);
    const [a, b, c, d] = words.map((word) => (typeof word === "number" ? word : koffi.address(word)));
    return check(withWords(number, a, b, c, d), name, "");
  };
  const setLimit = (resource: number, value: number, name: string) => {
    const limits = Buffer.alloc(16);
    limits.writeBigUInt64LE(BigInt(value), 0);
    limits.writeBigUInt64LE(BigInt(value), 8);
    check(setrlimit(resource, limits), "setrlimit", name);
  };

  return {
    mount: (source, target, flags) =>
      void check(mount(source === "" ? null : source, target, null, flags, null), "mount", target),
    lockedFlags(path) {
      // struct statfs: f_flags is its eleventh word on 64-bit machines.
      const facts = Buffer.alloc(120);
      check(statfs(path, facts), "statfs", path);
      const flags = Number(facts.readBigUInt64LE(80));
      // The same bits as mount(2)'s, but for relatime.
      return (flags & (1 | 2 | 4 | 8 | 1024 | 2048)) | ((flags & 4096) === 0 ? 0 : 1 << 21);
    },
    pivotInto(folder) {
      process.chdir(folder);
      // The old root comes to lie over the new one, and is taken away from there: no folder is needed for it.
      check(withPaths(numbers.pivotRoot, ".", "."), "pivot_root", folder);
      check(umount2(".", detach), "umount2", "the old root");
      process.chdir("/");
    },
    setHostname: (name) => void check(sethostname(name, Buffer.byteLength(name)), "sethostname", name),
    limitResources({ processes }) {
      setLimit(resources.core, 0, "RLIMIT_CORE");
      if (processes !== undefined) setLimit(resources.processes, processes, "RLIMIT_NPROC");
    },
    dropCapabilities() {
      // Fails behind the last capability that the kernel knows, and for who has no right to: then there is nothing to drop.
      for (let number = 0; prctl(prctlOptions.dropFromBoundingSet, number, 0, 0, 0) === 0; number++);
    },
    refuseNewPrivileges: () =>
      void check(prctl(prctlOptions.noNewPrivileges, 1, 0, 0, 0), "prctl", "PR_SET_NO_NEW_PRIVS"),
    dieWithParent: () => void check(prctl(prctlOptions.parentDeathSignal, 9, 0, 0, 0), "prctl", "PR_SET_PDEATHSIG"),
    filterSystemCalls(program) {
      // struct sock_fprog: a count, and where the program is.
      const header = Buffer.alloc(16);
      header.writeUInt16LE(program.length / 8, 0);
      header.writeBigUInt64LE(BigInt(koffi.address(program)), 8);
      callByNumber(numbers.seccomp, "seccomp", seccompSetFilter, 0, header);
    },
    replaceErrors: (descriptor) => void check(dup2(descriptor, 2), "dup2", "standard error"),
    keepOnExec(descriptors) {
      for (const descriptor of descriptors)
        check(fcntl(descriptor, setDescriptorFlags, 0), "fcntl", `descriptor ${descriptor}`);
    },
    execute(path, args, env) {
      signal(brokenPipe, 0);
      check(execve(path, [path, ...args, null], [...env, null]), "execve", path);
    },
    callByNumber,
  };
}
