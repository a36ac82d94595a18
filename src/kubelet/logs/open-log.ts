/**
 * Opens a container's log for whoever asked for it, so that a missing file is an answer and not a broken stream.
 */
import { badRequest, internalError } from "#apimachinery/status-error.ts";
import type { LogOptions } from "#kubelet/provider.ts";
import { type LogSource, readLog } from "./log-reader.ts";

/** A log that is followed may be silent for long: only what fails at once is waited for. */
const patienceMs = 50;

/** The log's text in pieces, as {@link readLog} gives it. Throws a StatusError when the log cannot be read. */
export async function openLog(
  source: LogSource,
  options: LogOptions,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const { path } = source;
  const log = readLog(source, options, signal);
  const first = log.next().catch((error: unknown) => {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw isMissing
      ? badRequest(`failed to try resolving symlinks in path ${JSON.stringify(path)}: no such file or directory`)
      : internalError(error);
  });
  await Promise.race([first, new Promise((resolve) => setTimeout(resolve, patienceMs))]);
  return continued(first, log);
}

async function* continued(
  first: Promise<IteratorResult<Uint8Array>>,
  log: AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    const result = await first;
    if (result.done) return;
    yield result.value;
    yield* log;
  } finally {
    // Whoever leaves after the first piece has not come to where the log would end by itself.
    await log.return(undefined);
  }
}
