/**
 * `nodeless doctor`: what this machine can do, what is missing, how to get it.
 */
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { freemem, totalmem } from "node:os";
import { delimiter, join } from "node:path";
import type { Finding } from "#cli/machine.ts";
import type { MachineContext } from "./clusters.ts";

/** A program that nodeless starts, its Debian package, and what for. */
export type Tool = {
  readonly command: string;
  readonly debian: string;
  readonly why: string;
  readonly isRequired: boolean;
};

/** All programs that a node starts. */
export const tools: readonly Tool[] = [
  { command: "crun", debian: "crun", why: "starts containers", isRequired: false },
  { command: "runc", debian: "runc", why: "starts containers where crun cannot", isRequired: false },
  { command: "conmon", debian: "conmon", why: "watches over each container", isRequired: true },
  { command: "nft", debian: "nftables", why: "carries Services", isRequired: true },
  { command: "ip", debian: "iproute2", why: "gives pods their addresses", isRequired: true },
  { command: "nsenter", debian: "util-linux", why: "enters namespaces", isRequired: true },
  { command: "mount", debian: "mount", why: "mounts root file systems", isRequired: true },
  { command: "socat", debian: "socat", why: "attach and port-forward", isRequired: false },
  {
    command: "conntrack",
    debian: "conntrack",
    why: "forgets connections to endpoints that are gone",
    isRequired: false,
  },
  { command: "setfattr", debian: "attr", why: "unpacks images", isRequired: false },
  { command: "catatonit", debian: "catatonit", why: "first process of shared process namespaces", isRequired: false },
];

/** Examines the machine. */
export async function examineMachine(context: MachineContext): Promise<readonly Finding[]> {
  return [
    nodeVersion(),
    privileges(context),
    ...tools.map(toolFinding),
    ociRuntime(),
    cgroups(),
    overlayfs(),
    memory(),
  ];
}

/** The file of a program on the PATH or where Debian keeps such, or undefined. */
export function findProgram(command: string): string | undefined {
  const folders = [
    ...(process.env["PATH"] ?? "").split(delimiter),
    "/usr/sbin",
    "/sbin",
    "/usr/bin",
    "/bin",
    "/usr/libexec/podman",
  ];
  return folders.map((folder) => join(folder, command)).find(isExecutable);
}

/** One sentence that says which required programs are missing and how to get them; undefined when none is. */
export function missingTools(): string | undefined {
  const missing = tools.filter(({ command, isRequired }) => isRequired && findProgram(command) === undefined);
  const packages = missing.map(({ debian }) => debian);
  const names = missing.map(({ command }) => command);
  if (findProgram("crun") === undefined && findProgram("runc") === undefined) {
    packages.push("crun");
    names.push("crun or runc");
  }
  if (packages.length === 0) return undefined;
  return `${names.join(", ")} ${names.length === 1 ? "is" : "are"} missing on this machine: install with 'apt-get install -y ${packages.join(" ")}'`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function nodeVersion(): Finding {
  return { topic: "node", state: "ok", detail: process.version };
}

function privileges({ isRoot }: MachineContext): Finding {
  if (isRoot) return { topic: "root", state: "ok", detail: "containers, networks and cgroups can be made" };
  return {
    topic: "root",
    state: "limited",
    detail: "without root no pods run here",
    advice: "start nodeless with sudo",
  };
}

function toolFinding({ command, debian, why, isRequired }: Tool): Finding {
  const path = findProgram(command);
  if (path !== undefined) return { topic: command, state: "ok", detail: path };
  return {
    topic: command,
    state: isRequired ? "missing" : "limited",
    detail: `not found: ${why}`,
    advice: `apt-get install -y ${debian}`,
  };
}

function ociRuntime(): Finding {
  const found = ["crun", "runc"].filter((command) => findProgram(command) !== undefined);
  if (found.length > 0) return { topic: "OCI runtime", state: "ok", detail: `${found[0]} is used` };
  return {
    topic: "OCI runtime",
    state: "missing",
    detail: "neither crun nor runc is installed",
    advice: "apt-get install -y crun",
  };
}

function cgroups(): Finding {
  if (existsSync("/sys/fs/cgroup/cgroup.controllers")) return { topic: "cgroups", state: "ok", detail: "version 2" };
  if (!existsSync("/sys/fs/cgroup/memory"))
    return { topic: "cgroups", state: "missing", detail: "no memory controller is mounted under /sys/fs/cgroup" };
  const isHybrid = existsSync("/sys/fs/cgroup/unified");
  return {
    topic: "cgroups",
    state: "ok",
    detail: `version 1${isHybrid ? ", hybrid: nodes run in a mount namespace that hides the v2 part" : ""}`,
  };
}

function overlayfs(): Finding {
  const isKnown =
    readFileSync("/proc/filesystems", "utf8").includes("\toverlay\n") || existsSync("/sys/module/overlay");
  if (isKnown) return { topic: "overlayfs", state: "ok", detail: "root file systems share their layers" };
  return {
    topic: "overlayfs",
    state: "limited",
    detail: "the kernel module is not loaded",
    advice: "modprobe overlay",
  };
}

function memory(): Finding {
  const [free, total] = [freemem(), totalmem()].map((bytes) => (bytes / 2 ** 30).toFixed(1));
  return { topic: "memory", state: freemem() > 2 ** 28 ? "ok" : "limited", detail: `${free} GiB free of ${total}` };
}
