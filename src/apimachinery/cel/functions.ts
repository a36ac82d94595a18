/**
 * How functions of CEL are described: by name, with the number of their arguments and what they give.
 */
import type { CelValue } from "./values.ts";

/** The types that the check of an expression tells apart; "dyn" is any. */
export type ResultType =
  | "dyn"
  | "bool"
  | "int"
  | "uint"
  | "double"
  | "string"
  | "bytes"
  | "list"
  | "list(string)"
  | "timestamp"
  | "duration"
  | "type"
  | "optional"
  | "opaque";

/** What an evaluation may still cost. */
export interface Meter {
  /** Throws when the limit is passed. */
  spend(cost: number): void;
}

/** A function; a member's target is its first argument and counts. */
export type CelFunction = {
  readonly arity: readonly [min: number, max: number];
  readonly result: ResultType;
  readonly call: (args: readonly CelValue[], meter: Meter) => CelValue;
};

export type FunctionTable = Readonly<Record<string, CelFunction>>;

/** A function of exactly `arity` arguments. */
export function fn(
  arity: number | readonly [number, number],
  result: ResultType,
  call: (...args: readonly CelValue[]) => CelValue,
): CelFunction {
  const range = typeof arity === "number" ? ([arity, arity] as const) : arity;
  return { arity: range, result, call: (args) => call(...args) };
}

/** One whose cost grows with the lengths of its arguments. */
export function costly(
  arity: number | readonly [number, number],
  result: ResultType,
  call: (...args: readonly CelValue[]) => CelValue,
): CelFunction {
  const range = typeof arity === "number" ? ([arity, arity] as const) : arity;
  const metered = (args: readonly CelValue[], meter: Meter): CelValue => {
    meter.spend(args.reduce<number>((sum, arg) => sum + Math.ceil(lengthOf(arg) * 0.1), 0));
    return call(...args);
  };
  return { arity: range, result, call: metered };
}

/** How much there is of a value to look through. */
export function lengthOf(value: CelValue): number {
  if (typeof value === "string" || value instanceof Uint8Array || Array.isArray(value)) return value.length;
  return 1;
}
