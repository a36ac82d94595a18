/**
 * Arguments of functions, told apart by type. What does not fit is an error in CEL.
 */
import { type CelList, type CelValue, isCelList, noOverload } from "./values.ts";

export function stringArg(value: CelValue | undefined): string {
  if (typeof value !== "string") throw noOverload();
  return value;
}

export function intArg(value: CelValue | undefined): number {
  if (typeof value !== "bigint") throw noOverload();
  return Number(value);
}

export function listArg(value: CelValue | undefined): CelList {
  if (value === undefined || !isCelList(value)) throw noOverload();
  return value;
}

export function instanceArg<T extends CelValue>(
  value: CelValue | undefined,
  type: abstract new (...args: never[]) => T,
): T {
  if (!(value instanceof type)) throw noOverload();
  return value;
}
