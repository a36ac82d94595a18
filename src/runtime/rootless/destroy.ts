/**
 * Ends what a node without root has caged, from outside and whatever state it is in.
 */
import { join } from "node:path";
import { isRunning, signalProcess } from "#linux/processes.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { readRecords } from "#runtime/destroy.ts";
import { killLaunchers } from "./rootless-maker.ts";

/** The node's process must have ended. May be called again. Resolves when all processes have ended. */
export async function destroyRootlessRuntime(stateFolder: string): Promise<void> {
  const folder = join(stateFolder, "containers");
  const processes = readRecords(folder).flatMap(({ monitor, container }) =>
    [container, monitor].filter((one) => one !== undefined),
  );
  for (const process of processes) signalProcess(process, "SIGKILL");
  killLaunchers(folder);
  for (let tries = 0; tries < 250 && processes.some(isRunning); tries++) await sleep(20);
}
