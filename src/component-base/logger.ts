/**
 * Logging: a constant message and fields, one JSON line each, written at once, so that nothing is lost when the process dies.
 */
import { writeSync } from "node:fs";

/** Data of a log line. No secrets, no whole objects; objects of the API as "namespace/name" under their kind. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where a part says what it does. Messages are constant, in the past tense, with a capital first letter and no full stop. */
export interface Logger {
  /** Somebody must act. */
  error(message: string, fields?: LogFields): void;
  /** May become an error. */
  warn(message: string, fields?: LogFields): void;
  /** A state changed. */
  info(message: string, fields?: LogFields): void;
  /** A step on the way. */
  debug(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to each line. */
  with(fields: LogFields): Logger;
}

/** How much is logged. Each level includes those before it. */
export type LogLevel = "error" | "warn" | "info" | "debug";

/** Drops everything: for tests and for callers that do not care. */
export const silentLogger: Logger = {
  error() {},
  warn() {},
  info() {},
  debug() {},
  with: () => silentLogger,
};

const severity: Readonly<Record<LogLevel, number>> = { error: 0, warn: 1, info: 2, debug: 3 };

/** A logger that writes JSON lines to `fileDescriptor` (default 2, standard error). */
export function createLogger(options: { readonly level: LogLevel; readonly fileDescriptor?: number }): Logger {
  const { level, fileDescriptor = 2 } = options;
  return lineLogger((text) => writeAll(fileDescriptor, text), severity[level], {});
}

type Write = (text: string) => void;

function lineLogger(write: Write, most: number, own: LogFields): Logger {
  const at = (level: LogLevel) =>
    severity[level] > most
      ? () => {}
      : (message: string, fields?: LogFields) =>
          write(`${toJson({ level, time: new Date().toISOString(), ...own, ...fields, message })}\n`);
  return {
    error: at("error"),
    warn: at("warn"),
    info: at("info"),
    debug: at("debug"),
    with: (fields) => lineLogger(write, most, { ...own, ...fields }),
  };
}

function toJson(line: LogFields): string {
  try {
    return JSON.stringify(line, readable);
  } catch {
    // A field that is no JSON (a cycle) must not cost the line.
    return JSON.stringify({ level: line["level"], time: line["time"], message: line["message"] });
  }
}

function readable(_key: string, value: unknown): unknown {
  if (value instanceof Error) return value.stack ?? `${value.name}: ${value.message}`;
  return typeof value === "bigint" ? String(value) : value;
}

// A pipe whose reader is slow is waited for a little; one that nobody reads loses the line, not the process.
function writeAll(descriptor: number, text: string): void {
  let rest: Uint8Array = Buffer.from(text);
  for (let attempt = 0; rest.length > 0 && attempt < 50; attempt++) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
    }
  }
}
