/**
 * CESQL's three types and the casts between them (spec 1.0.0 §3.1, §3.7). Strings count in characters of Unicode, not in JavaScript's halves of them.
 */
import type { AttributeValue, CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import type { EvaluationError } from "./cesql-error.ts";

export type Value = AttributeValue;
export type ValueType = "String" | "Integer" | "Boolean";

/** One evaluation. The first error ends it: everything that encloses the place gives its type's zero value. */
export type Run = { readonly attributes: CloudEvent["attributes"]; error: EvaluationError | undefined };

const zeros: Readonly<Record<ValueType, Value>> = { String: "", Integer: 0, Boolean: false };

export function zeroOf(type: ValueType): Value {
  return zeros[type];
}

export function typeOf(value: Value): ValueType {
  if (typeof value === "string") return "String";
  return typeof value === "number" ? "Integer" : "Boolean";
}

/** The value as `type`; the type's zero value and an error in `run` when it has no such meaning. */
export function cast(run: Run, value: Value, type: ValueType): Value {
  if (type === "String") return String(value);
  return type === "Integer" ? castToInteger(run, value) : castToBoolean(run, value);
}

export function castToInteger(run: Run, value: Value): number {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  return parseInteger(value) ?? fail(run, "cast", 0);
}

export function castToBoolean(run: Run, value: Value): boolean {
  if (typeof value === "boolean") return value;
  if (typeof value === "number") return value !== 0;
  const lower = value.toLowerCase();
  if (lower === "true" || lower === "false") return lower === "true";
  return fail(run, "cast", false);
}

/** A whole number of 32 bits in base 10; undefined when the text is none. */
export function parseInteger(text: string): number | undefined {
  if (!/^[+-]?[0-9]+$/.test(text)) return undefined;
  const value = Number(text);
  return (value | 0) === value ? value | 0 : undefined;
}

/** Notes the error, unless one came before, and gives the value. */
export function fail<T extends Value>(run: Run, error: EvaluationError, value: T): T {
  run.error ??= error;
  return value;
}

/** The string's characters, when any of them takes more than one place in a JavaScript string; otherwise the string, whose places are its characters. */
export function characters(text: string): string | readonly string[] {
  return /[\ud800-\udfff]/.test(text) ? Array.from(text) : text;
}
