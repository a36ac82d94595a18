/**
 * A command's streams joined with a client's connection, whatever its protocol: exec and attach. The protocols differ only in how the five streams travel.
 */

/** What a command reads and writes. */
export type CommandStreams = {
  readonly stdin?: AsyncIterable<Uint8Array>;
  readonly stdout?: (chunk: Uint8Array) => Promise<void>;
  readonly stderr?: (chunk: Uint8Array) => Promise<void>;
  readonly tty: boolean;
  readonly resize?: AsyncIterable<TerminalSize>;
};

export type TerminalSize = { readonly columns: number; readonly rows: number };

/** Which streams the client asked for. */
export type WantedStreams = {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
};

/** Runs the command with the client's streams. Gives its exit code; rejects when it could not be run. */
export type RunCommand = (streams: CommandStreams, signal: AbortSignal) => Promise<number>;

/** How a command ended, in the words of the error stream. */
export type CommandEnd = { readonly exitCode: number } | { readonly failure: string };

/** Runs the command and says how it ended; never rejects. */
export async function runToEnd(run: RunCommand, streams: CommandStreams, signal: AbortSignal): Promise<CommandEnd> {
  try {
    return { exitCode: await run(streams, signal) };
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) };
  }
}

/** What goes over the error stream: from version 4 a Status, before it a text, which is empty for success. */
export function formatEnd(end: CommandEnd, protocolVersion: number): string {
  const message =
    "failure" in end ? end.failure : `command terminated with non-zero exit code: exit status ${end.exitCode}`;
  const isSuccess = "exitCode" in end && end.exitCode === 0;
  if (protocolVersion < 4) return isSuccess ? "" : message;
  if (isSuccess) return JSON.stringify({ metadata: {}, status: "Success" });
  if ("failure" in end)
    return JSON.stringify({ metadata: {}, status: "Failure", message, reason: "InternalError", code: 500 });
  const causes = [{ reason: "ExitCode", message: String(end.exitCode) }];
  return JSON.stringify({ metadata: {}, status: "Failure", message, reason: "NonZeroExitCode", details: { causes } });
}

/** A terminal's size as clients send it; undefined for what is none. */
export function parseSize(text: string): TerminalSize | undefined {
  try {
    const size = JSON.parse(text) as { readonly Width?: unknown; readonly Height?: unknown };
    const [columns, rows] = [Number(size.Width), Number(size.Height)];
    return columns > 0 && rows > 0 && columns < 65_536 && rows < 65_536 ? { columns, rows } : undefined;
  } catch {
    return undefined;
  }
}
