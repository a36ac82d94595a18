/**
 * `nodeless doctor`: what this machine can do, what is missing, how to get it.
 */
import { freemem, totalmem } from "node:os";
import type { Finding } from "#cli/machine.ts";
import { findHybridMount } from "#linux/cgroups/open-cgroups.ts";
import { detectCapabilities, findProgram, type MachineCapabilities } from "#runtime/machine.ts";
import { searchPath } from "./node-plan.ts";
// Also read by tools/setup.mjs, which installs what is missing.
import tools from "./system-tools.json" with { type: "json" };

/** A program that nodeless starts, its Debian package, and what for. */
export type Tool = {
  readonly command: string;
  readonly debian: string;
  readonly why: string;
  readonly isRequired: boolean;
};

/** Examines the machine as root finds it. */
export async function examineMachine(): Promise<readonly Finding[]> {
  const machine = await detectCapabilities(searchPath, { hidesHybridMount: true });
  return [
    { topic: "node", state: "ok", detail: process.version },
    { topic: "root", state: "ok", detail: "containers, networks and cgroups can be made" },
    ...tools.map(toolFinding),
    ociRuntime(machine),
    cgroups(machine),
    overlayfs(machine),
    await isolates(),
    ...machine.notes.map((detail): Finding => ({ topic: "containers", state: "limited", detail })),
    memory(),
  ];
}

/** One sentence that says which required programs are missing and how to get them; undefined when none is. `find` gives a program's path. */
export function missingTools(
  find: (command: string) => string | undefined = (command) => findProgram(command, searchPath),
): string | undefined {
  const missing: Pick<Tool, "command" | "debian">[] = tools.filter(
    ({ command, isRequired }) => isRequired && find(command) === undefined,
  );
  if (find("crun") === undefined && find("runc") === undefined) {
    missing.push({ command: "crun or runc", debian: "crun" });
  }
  if (missing.length === 0) return undefined;
  const names = missing.map(({ command }) => command).join(", ");
  const packages = [...new Set(missing.map(({ debian }) => debian))].join(" ");
  return `${names} ${missing.length === 1 ? "is" : "are"} missing on this machine: install with 'apt-get install -y ${packages}'`;
}

function toolFinding({ command, debian, why, isRequired }: Tool): Finding {
  const path = findProgram(command, searchPath);
  if (path !== undefined) return { topic: command, state: "ok", detail: path };
  return {
    topic: command,
    state: isRequired ? "missing" : "limited",
    detail: `not found: ${why}`,
    advice: `apt-get install -y ${debian}`,
  };
}

function ociRuntime({ runtime }: MachineCapabilities): Finding {
  const topic = "OCI runtime";
  if (runtime) return { topic, state: "ok", detail: `${runtime.name} ${runtime.version} is used` };
  const detail = "neither crun nor runc is installed";
  return { topic, state: "missing", detail, advice: "apt-get install -y crun" };
}

function cgroups({ cgroupVersion }: MachineCapabilities): Finding {
  const topic = "cgroups";
  if (cgroupVersion === undefined)
    return { topic, state: "missing", detail: "no memory controller is mounted under /sys/fs/cgroup" };
  const isHybrid = findHybridMount() !== undefined;
  const hybrid = isHybrid ? ", hybrid: nodes run in a mount namespace that hides the v2 part" : "";
  return { topic, state: "ok", detail: `version ${cgroupVersion}${hybrid}` };
}

function overlayfs({ overlay }: MachineCapabilities): Finding {
  const topic = "overlayfs";
  if (overlay) return { topic, state: "ok", detail: "root file systems share their layers" };
  return { topic, state: "missing", detail: "the kernel module is not loaded", advice: "modprobe overlay" };
}

/** Whether isolates can run. */
export async function isolates(): Promise<Finding> {
  const topic = "isolates";
  const { findWorkerd } = await import("#providers/isolates/workerd-program.ts");
  try {
    return { topic, state: "ok", detail: `workerd of ${findWorkerd().compatibilityDate}` };
  } catch (error) {
    const advice = "install nodeless with its optional dependencies";
    return { topic, state: "limited", detail: (error as Error).message, advice };
  }
}

/** How much there is. */
export function memory(): Finding {
  const [free, total] = [freemem(), totalmem()].map((bytes) => (bytes / 2 ** 30).toFixed(1));
  return { topic: "memory", state: freemem() > 2 ** 28 ? "ok" : "limited", detail: `${free} GiB free of ${total}` };
}
