/**
 * Ends a node for good, from outside and whatever state it is in: kills its containers and their monitors and removes its control groups. Its mounts and networks go with
 * its namespaces (node-namespaces.ts), its files with its folders.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isMissing } from "#component-base/missing-file.ts";
import { openCgroups } from "#linux/cgroups/open-cgroups.ts";
import { loadLibc } from "#linux/libc.ts";
import { unmountBelow } from "#linux/mounts.ts";
import { readBootId, signalProcess } from "#linux/processes.ts";
import type { ContainerRecord } from "./container-record.ts";

/** The node's process must have ended. May be called again. */
export async function destroyRuntime(options: {
  readonly stateFolder: string;
  readonly runFolder: string;
  readonly cgroupParent: string;
}): Promise<void> {
  const cgroups = openCgroups();
  const records = readRecords(join(options.stateFolder, "containers"));
  // Containers of before may be in other groups than those that are made now.
  const groups = [...new Set([...records.map(({ cgroupPath }) => cgroupPath), options.cgroupParent])];
  for (let tries = 0; tries < 100; tries++) {
    for (const pid of groups.flatMap((group) => cgroups.listProcesses(group))) killQuietly(pid);
    if (groups.map((group) => cgroups.remove(group)).every(Boolean)) break;
    await sleep(20);
  }
  // After the containers: a monitor that saw the end goes by itself.
  for (const { monitor } of records) if (monitor) signalProcess(monitor, "SIGKILL");
  const libc = await loadLibc();
  unmountBelow(libc, options.stateFolder);
  unmountBelow(libc, join(options.runFolder, "ns"));
}

/** What the folder says of containers of this boot. */
export function readRecords(folder: string): ContainerRecord[] {
  const bootId = readBootId();
  let ids: string[];
  try {
    ids = readdirSync(folder);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
  return ids.flatMap((id) => {
    try {
      const record = JSON.parse(readFileSync(join(folder, id, "record.json"), "utf8")) as ContainerRecord;
      return record.bootId === bootId ? [record] : [];
    } catch {
      return []; // damaged: its processes are found by their control group
    }
  });
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone already.
  }
}
