/**
 * Whether a folder has a function at all. What does not compile is the build's to say; a folder that is another one than was meant is told at once, and leaves nothing behind.
 */
import { UserError } from "#cli/command.ts";
import { BuildError } from "#functions/build/build-error.ts";
import { findPythonModule, findScript } from "#functions/build/entrypoint.ts";
import { findDockerfile } from "#images/build/dockerfile.ts";

/** Throws UserError where its code is not there. */
export async function checkSource(
  folder: string,
  { runtime, entrypoint }: { readonly runtime: string; readonly entrypoint: string | undefined },
): Promise<void> {
  try {
    if (runtime === "container") await checkDockerfile(folder, entrypoint);
    else if (runtime === "python") findPythonModule(folder, entrypoint);
    else findScript(folder, entrypoint);
  } catch (cause) {
    if (!(cause instanceof BuildError)) throw cause;
    const said = cause.message.replace("; name it by spec.entrypoint", "");
    const advice = "--source names another folder, --entrypoint a file in it";
    throw new UserError(`${folder}: ${said}; ${advice}`, { exitCode: 2, cause });
  }
}

async function checkDockerfile(folder: string, entrypoint: string | undefined): Promise<void> {
  if (entrypoint !== undefined || (await findDockerfile(folder)) !== undefined) return;
  throw new UserError(`${folder} has no Dockerfile, which the runtime container wants`, { exitCode: 2 });
}
