/**
 * Finds the monitor of a container that was not made to its end, and which nobody has written down: by its own file, or, when it died before it wrote that or was killed in the middle of
 * it, by who holds the container's FIFO.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { identifyProcess, type ProcessIdentity } from "#linux/processes.ts";

/** The monitor, or all whom it started and who may be one. Empty when there is none. */
export function findMonitors(bundle: string): readonly ProcessIdentity[] {
  const known = monitorOnFile(bundle);
  if (known) return [known];
  const alive = join(bundle, "alive");
  return readdirSync("/proc").flatMap((name) => {
    const pid = Number(name);
    const isHolder = pid > 0 && pid !== process.pid && hasOpen(pid, alive);
    return (isHolder ? identifyProcess(pid) : undefined) ?? [];
  });
}

function monitorOnFile(bundle: string): ProcessIdentity | undefined {
  try {
    const pid = Number(readFileSync(join(bundle, "conmon.pid"), "utf8"));
    const identity = identifyProcess(pid);
    // The number may be somebody else's by now.
    const isOurs = identity !== undefined && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(bundle);
    return isOurs ? identity : undefined;
  } catch {
    return undefined;
  }
}

function hasOpen(pid: number, path: string): boolean {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).some((name) => linkOf(join(folder, name)) === path);
  } catch {
    return false; // gone
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // closed meanwhile
  }
}
