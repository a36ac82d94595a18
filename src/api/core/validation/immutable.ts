/**
 * Fields that never change.
 */
import { isDeepStrictEqual } from "node:util";
import { invalid } from "#apimachinery/field-error.ts";
import type { Errors } from "#api/field-rules.ts";

/** `field is immutable` when the two differ. */
export function immutable(field: string, value: unknown, old: unknown): Errors {
  return isDeepStrictEqual(value, old) ? [] : [invalid(field, value, "field is immutable")];
}
