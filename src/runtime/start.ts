/**
 * Starts a container that was created. crun's container waits at a FIFO until somebody writes one byte to it, which is all that `crun start` does; we do that
 * ourselves, for a spawned process costs 5–8 ms. Where there is no such FIFO, the OCI runtime is asked.
 */
import { closeSync, constants, existsSync, openSync, rmSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { OciRuntime } from "./machine.ts";
import { ProgramFailed, runProgram } from "./run-program.ts";
import { RuntimeFailure } from "./settings.ts";

/** Throws {@link RuntimeFailure}. */
export async function startCreated(runtime: OciRuntime, runtimeRoot: string, id: string): Promise<void> {
  if (runtime.name === "crun" && releaseFifo(fifoOf(runtimeRoot, id))) return;
  try {
    await runProgram(runtime.path, ["--root", runtimeRoot, "start", id]);
  } catch (error) {
    if (!(error instanceof ProgramFailed)) throw error;
    throw new RuntimeFailure("start", error.message, { cause: error });
  }
}

/** Whether nobody has started the container yet, or had at least not finished with it: both crun and runc take the FIFO away then. */
export function isUnstarted(runtimeRoot: string, id: string): boolean {
  return existsSync(fifoOf(runtimeRoot, id));
}

/** Starts a container of which it is not known how far its start had come when the agent died. One that has begun is left alone. Throws {@link RuntimeFailure}. */
export async function finishStart(runtime: OciRuntime, runtimeRoot: string, id: string): Promise<void> {
  if (runtime.name !== "crun") return await startCreated(runtime, runtimeRoot, id);
  // Without a reader it had been let go, and only the FIFO was left to be taken away.
  const path = fifoOf(runtimeRoot, id);
  if (!releaseFifo(path)) rmSync(path, { force: true });
}

function fifoOf(runtimeRoot: string, id: string): string {
  return join(runtimeRoot, id, "exec.fifo");
}

function releaseFifo(path: string): boolean {
  let fd: number;
  try {
    // Without waiting: nobody reading means that the container is not there yet, or gone.
    fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return false;
  }
  try {
    // The byte first: who dies between the two leaves a FIFO by which his successor sees that there is something to look at.
    writeSync(fd, "0");
    unlinkSync(path);
    return true;
  } finally {
    closeSync(fd);
  }
}
