/**
 * Large objects that are too long for their kind are refused before it is reckoned who owns which of their fields, which is the most that a write of them costs. Smaller ones are refused when all of
 * admission has had its say, as upstream does it.
 */
import { type FieldError, invalidObject } from "#apimachinery/field-error.ts";
import type { ServedResource } from "./served-resource.ts";

/** Throws Invalid with all errors when one of them says that something is too long. */
export function refuseTooLong({ group, kind }: ServedResource, name: string, errors: readonly FieldError[]): void {
  if (errors.some(({ type }) => type === "FieldValueTooLong")) throw invalidObject({ group, kind, name }, errors);
}
