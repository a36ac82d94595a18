/**
 * Reads single values into the form that Go would give back: times, durations and quantities canonical.
 */
import { findDurationMs, formatDuration } from "#apimachinery/duration.ts";
import { QuantityError, canonicalQuantity } from "#apimachinery/quantity.ts";
import { badRequest } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import { formatMicroTime, parseMicroTime, parseTime } from "./protobuf-scalars.ts";

/** Whether the value fits into the type. */
export function isInteger(value: unknown, type: "int32" | "int64"): value is number {
  if (type === "int32") return typeof value === "number" && (value | 0) === value;
  return typeof value === "number" && Number.isInteger(value) && Math.abs(value) <= 2 ** 63;
}

/** Throws 400. */
export function readText(type: "time" | "microTime" | "duration", value: string): string {
  switch (type) {
    case "time": {
      const { seconds } = parseTime(value);
      // What is canonical already, as nearly all are, stays as it is.
      return value.length === 20 ? value : formatTime(seconds * 1000);
    }
    case "microTime": {
      const { seconds, nanos } = parseMicroTime(value);
      return formatMicroTime(seconds, nanos);
    }
    case "duration": {
      const ms = findDurationMs(value);
      if (ms === undefined) throw badRequest(`time: invalid duration ${JSON.stringify(value)}`);
      return formatDuration(ms);
    }
  }
}

/** Throws 400. */
export function readQuantity(value: unknown): string {
  if (typeof value === "string" && /^[1-9]\d{0,2}(?:m|Mi|Gi)?$/.test(value)) return value;
  try {
    return canonicalQuantity(typeof value === "string" || typeof value === "number" ? value : JSON.stringify(value));
  } catch (error) {
    if (error instanceof QuantityError) throw badRequest(error.message);
    throw error;
  }
}
