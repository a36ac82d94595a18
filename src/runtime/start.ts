/**
 * Starts a container that was created. crun's container waits at a FIFO until somebody writes one byte to it, which is all that `crun start` does; we do that
 * ourselves, for a spawned process costs 5–8 ms. Where there is no such FIFO, the OCI runtime is asked.
 */
import { closeSync, constants, openSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { OciRuntime } from "./machine.ts";
import { ProgramFailed, runProgram } from "./run-program.ts";
import { RuntimeFailure } from "./settings.ts";

/** Throws {@link RuntimeFailure}. */
export async function startCreated(runtime: OciRuntime, runtimeRoot: string, id: string): Promise<void> {
  if (runtime.name === "crun" && releaseFifo(join(runtimeRoot, id, "exec.fifo"))) return;
  try {
    await runProgram(runtime.path, ["--root", runtimeRoot, "start", id]);
  } catch (error) {
    if (!(error instanceof ProgramFailed)) throw error;
    throw new RuntimeFailure("start", error.message, { cause: error });
  }
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
    unlinkSync(path);
    writeSync(fd, "0");
    return true;
  } finally {
    closeSync(fd);
  }
}
