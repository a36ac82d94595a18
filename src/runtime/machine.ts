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

/** Looks around. Never throws for something missing; the caller decides what it cannot do without. */
export async function detectCapabilities(searchPath: string): Promise<MachineCapabilities> {
  const notes: string[] = [];
  const capabilities = ownCapabilities();
  const hybrid = findHybridMount();
  const runtime = await chooseRuntime(searchPath, hybrid !== undefined, notes);
  const conmon = findProgram("conmon", searchPath);
  const pause = findProgram("catatonit", searchPath);
  if (!runtime) notes.push("No OCI runtime found: install crun or runc");
  if (!conmon) notes.push("conmon not found: install conmon");
  if (!pause) notes.push("catatonit not found: pods cannot share a process namespace");
  const overlay = /\boverlay$/m.test(readFileSync("/proc/filesystems", "utf8"));
  if (!overlay) notes.push("The kernel has no overlayfs");
  const sysResource = capabilities.includes("SYS_RESOURCE");
  if (!sysResource) notes.push("CAP_SYS_RESOURCE is missing: negative oom_score_adj values are left out");
  return {
    runtime,
    conmon,
    pause,
    cgroupVersion: readCgroupVersion(),
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

async function chooseRuntime(searchPath: string, isHybrid: boolean, notes: string[]): Promise<OciRuntime | undefined> {
  const crun = findProgram("crun", searchPath);
  if (crun && !isHybrid) return { name: "crun", path: crun, version: await readVersion(crun) };
  if (crun && isHybrid)
    notes.push(
      "crun refuses hybrid control groups outside of a mount namespace of its own: runc is used where there is one",
    );
  const runc = findProgram("runc", searchPath);
  return runc === undefined ? undefined : { name: "runc", path: runc, version: await readVersion(runc) };
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
