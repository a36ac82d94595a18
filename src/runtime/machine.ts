/**
 * What this machine has and what it forbids, found out once at start: OCI runtime, control groups, overlay mounts, capabilities. `nodeless doctor` shows the same.
 */
import { execFile } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { findHybridMount } from "#linux/cgroups/open-cgroups.ts";

/** An OCI runtime that works here. */
export type OciRuntime = { readonly name: "crun" | "runc"; readonly path: string; readonly version: string };

/** What containers can be given here. `notes` are sentences for people: what is missing and what was done about it. */
export type MachineCapabilities = {
  readonly runtime: OciRuntime | undefined;
  readonly conmon: string | undefined;
  /** The init that holds a shared process namespace. */
  readonly pause: string | undefined;
  readonly cgroupVersion: 1 | 2 | undefined;
  /** Whether one process killed for lack of memory can end its whole container: version 2 with the memory controller. */
  readonly oomGroup: boolean;
  readonly overlay: boolean;
  /** May set oom_score_adj below our own and raise limits of resources. */
  readonly sysResource: boolean;
  readonly seccomp: boolean;
  /** Names without "CAP_" that a privileged container can get. */
  readonly capabilities: readonly string[];
  readonly notes: readonly string[];
};

/** In the kernel's order: bit 0 is CHOWN. */
export const capabilityNames: readonly string[] = (
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER " +
  "SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL " +
  "SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split(" ");

/** How to look. */
export type DetectOptions = {
  /** The one OCI runtime to use; default crun, else runc. */
  readonly wanted?: OciRuntime["name"] | undefined;
  /** Containers will be started where a version 2 control group mount beside version 1 is not seen: in a node's namespaces. Default false: as it is here. */
  readonly hidesHybridMount?: boolean;
};

/** Looks around. Never throws for something missing; the caller decides what it cannot do without. */
export async function detectCapabilities(
  searchPath: string,
  options: DetectOptions = {},
): Promise<MachineCapabilities> {
  const notes: string[] = [];
  const capabilities = ownCapabilities();
  const sysResource = capabilities.includes("SYS_RESOURCE");
  const runtime = await chooseRuntime(searchPath, { ...options, sysResource }, notes);
  const conmon = findProgram("conmon", searchPath);
  const pause = findProgram("catatonit", searchPath);
  if (!runtime) notes.push("No OCI runtime found: install crun or runc");
  if (!conmon) notes.push("conmon not found: install conmon");
  if (!pause) notes.push("catatonit not found: pods cannot share a process namespace");
  const overlay = await ensureOverlay();
  if (!overlay) notes.push("The kernel has no overlayfs");
  if (!sysResource) notes.push("CAP_SYS_RESOURCE is missing: negative oom_score_adj values are left out");
  return {
    runtime,
    conmon,
    pause,
    cgroupVersion: readCgroupVersion(),
    oomGroup: hasMemoryController(),
    overlay,
    sysResource,
    seccomp: /^Seccomp:/m.test(readFileSync("/proc/self/status", "utf8")),
    capabilities,
    notes,
  };
}

/** The program's absolute path, or undefined. */
export function findProgram(name: string, searchPath: string): string | undefined {
  const folders = [...searchPath.split(delimiter), "/usr/sbin", "/sbin", "/usr/bin"].filter(Boolean);
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

// A kernel that has not mounted one yet lists overlayfs only once its module is loaded.
async function ensureOverlay(): Promise<boolean> {
  const isListed = () => /\boverlay$/m.test(readFileSync("/proc/filesystems", "utf8"));
  if (isListed()) return true;
  await promisify(execFile)("modprobe", ["overlay"]).catch(() => {}); // not root, or no such module: the list says
  return isListed();
}

async function chooseRuntime(
  searchPath: string,
  { wanted, hidesHybridMount = false, sysResource }: DetectOptions & { readonly sysResource: boolean },
  notes: string[],
): Promise<OciRuntime | undefined> {
  const crun = wanted === "runc" ? undefined : findProgram("crun", searchPath);
  const runc = wanted === "crun" ? undefined : findProgram("runc", searchPath);
  const trouble = crun && troubleWithCrun(sysResource, hidesHybridMount);
  if (trouble !== undefined) notes.push(`${trouble}: ${runc ? "runc is used" : "install runc"}`);
  const name = crun !== undefined && (trouble === undefined || runc === undefined) ? "crun" : "runc";
  const path = name === "crun" ? crun : runc;
  return path === undefined ? undefined : { name, path, version: await readVersion(path) };
}

// Seen with crun 1.8 of Debian 12.
function troubleWithCrun(sysResource: boolean, hidesHybridMount: boolean): string | undefined {
  if (!hidesHybridMount && findHybridMount() !== undefined)
    return "crun refuses a version 2 control group mount beside version 1, outside of a mount namespace of the node's own";
  if (readCgroupVersion() === 2 && !sysResource) return "crun needs CAP_SYS_RESOURCE with version 2 control groups";
  return undefined;
}

async function readVersion(path: string): Promise<string> {
  const { stdout } = await promisify(execFile)(path, ["--version"]);
  return /version (\S+)/.exec(stdout)?.[1] ?? "unknown";
}

function readCgroupVersion(): 1 | 2 | undefined {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  if (/ - cgroup \S+ \S*\bmemory\b/.test(mounts)) return 1;
  return / - cgroup2 /.test(mounts) ? 2 : undefined;
}

function hasMemoryController(): boolean {
  try {
    return readFileSync("/sys/fs/cgroup/cgroup.controllers", "utf8").split(/\s/).includes("memory");
  } catch {
    return false;
  }
}

function ownCapabilities(): string[] {
  const hex = /^CapBnd:\s*([0-9a-f]+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  const bits = BigInt(`0x${hex}`);
  return capabilityNames.filter((_, bit) => (bits >> BigInt(bit)) & 1n);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
