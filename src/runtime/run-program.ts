/**
 * Runs a program to its end, for the few things that only a program does. What it starts and leaves running does not hold us up: no pipes are used.
 */
import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A program ended with another exit code than 0. The message ends with what it said on standard error. */
export class ProgramFailed extends Error {
  readonly kind = "ProgramFailed";
}

/** Throws {@link ProgramFailed}. */
export async function runProgram(path: string, args: readonly string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nodeless-run-"));
  const errors = join(folder, "errors");
  const fd = openSync(errors, "w+");
  try {
    const code = await new Promise<number | string>((resolve, reject) => {
      const child = spawn(path, args, { stdio: ["ignore", "ignore", fd] });
      child.once("error", reject);
      child.once("exit", (exitCode, signal) => resolve(exitCode ?? signal ?? "unknown"));
    });
    if (code !== 0)
      throw new ProgramFailed(`${path} ${args.join(" ")} ended with ${code}: ${readFileSync(errors, "utf8").trim()}`);
  } finally {
    closeSync(fd);
    rmSync(folder, { recursive: true, force: true });
  }
}
