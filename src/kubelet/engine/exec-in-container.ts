/**
 * Commands in containers for probes and hooks: output kept to its first 10 KiB, a limit in time.
 */
import type { ContainerRuntime } from "#kubelet/container-runtime.ts";

const maxOutputBytes = 10 * 1024;

/** Runs the command. A command that takes too long is killed and counts as failed, with upstream's words as output. */
export async function execInContainer(
  runtime: ContainerRuntime,
  id: string,
  command: readonly string[],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<{ readonly exitCode: number; readonly output: string }> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const collect = (chunk: Uint8Array): void => {
    if (size < maxOutputBytes) chunks.push(chunk.slice(0, maxOutputBytes - size));
    size += chunk.length;
  };
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const streams = { stdout: collect, stderr: collect, tty: false };
    const exitCode = await runtime.exec(id, command, streams, AbortSignal.any([timeout, signal]));
    return { exitCode, output: Buffer.concat(chunks).toString("utf8") };
  } catch (error) {
    signal.throwIfAborted();
    if (!timeout.aborted) throw error;
    const output = `command timed out: ${JSON.stringify(command.join(" "))} timed out after ${timeoutMs / 1000}s`;
    return { exitCode: -1, output };
  }
}
