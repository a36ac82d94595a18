/**
 * Logging: a constant message and fields, one JSON line each. The pino library writes them; it is loaded when a process makes its logger.
 */
import { createRequire } from "node:module";
import type { Logger as PinoLogger } from "pino";

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

/** How many characters wait while the log cannot be written. */
const longestBacklog = 1 << 20;

/** A logger that writes JSON lines to `fileDescriptor` (default 2, standard error). */
export function createLogger(options: { readonly level: LogLevel; readonly fileDescriptor?: number }): Logger {
  const { pino } = createRequire(import.meta.url)("pino") as typeof import("pino");
  const destination = pino.destination({ dest: options.fileDescriptor ?? 2, sync: true, maxLength: longestBacklog });
  // A full disk must not end who only wanted to say so. Lines wait, and when they are too many they are lost.
  destination.on("error", () => {});
  const format = { base: null, timestamp: pino.stdTimeFunctions.isoTime, messageKey: "message" };
  return wrap(pino({ ...format, level: options.level, formatters: { level: (level) => ({ level }) } }, destination));
}

function wrap(inner: PinoLogger): Logger {
  return {
    error: (message, fields) => inner.error(readable(fields), message),
    warn: (message, fields) => inner.warn(readable(fields), message),
    info: (message, fields) => inner.info(readable(fields), message),
    debug: (message, fields) => inner.debug(readable(fields), message),
    with: (fields) => wrap(inner.child(readable(fields))),
  };
}

function readable(fields: LogFields = {}): Record<string, unknown> {
  const entries = Object.entries(fields).map(([key, value]) => [key, value instanceof Error ? describe(value) : value]);
  return Object.fromEntries(entries);
}

function describe(error: Error): string {
  return error.stack ?? `${error.name}: ${error.message}`;
}
