/**
 * Options of writes, from the query: dryRun, fieldManager, fieldValidation. Checked as upstream's CreateOptions, UpdateOptions and PatchOptions.
 */
import {
  type FieldError,
  forbiddenField,
  invalid,
  invalidObject,
  notSupported,
  required,
} from "#apimachinery/field-error.ts";
import type { Query } from "#apiserver/api-request.ts";

export type FieldValidation = "Ignore" | "Warn" | "Strict";

/** Checked options of a write. */
export type WriteOptions = {
  readonly dryRun: boolean;
  /** "" when unset. */
  readonly fieldManager: string;
  readonly fieldValidation: FieldValidation;
  /** Server-side apply only: take over what others own. */
  readonly force: boolean;
};

const MAX_MANAGER_LENGTH = 128;
const defaults: WriteOptions = { dryRun: false, fieldManager: "", fieldValidation: "Warn", force: false };

/** Reads the options. `kind` names them in errors: "CreateOptions"; "ApplyOptions" are PatchOptions of server-side apply. Throws Invalid. */
export function parseWriteOptions(
  query: Query,
  kind: "CreateOptions" | "UpdateOptions" | "PatchOptions" | "ApplyOptions",
): WriteOptions {
  if (query.isEmpty && kind !== "ApplyOptions") return defaults;
  const errors: FieldError[] = [];
  const dryRun = query.getAll("dryRun").filter((value) => value !== "");
  errors.push(...dryRunErrors(dryRun));
  const fieldManager = query.get("fieldManager") ?? "";
  errors.push(...managerErrors(fieldManager));
  const fieldValidation = query.get("fieldValidation") || "Warn";
  if (!["Ignore", "Warn", "Strict"].includes(fieldValidation)) {
    errors.push(notSupported("fieldValidation", fieldValidation, ["Ignore", "Warn", "Strict", ""]));
  }
  const force = query.get("force") ?? "";
  if (kind === "ApplyOptions" && fieldManager === "") {
    errors.push(required("fieldManager", "is required for apply patch"));
  }
  if (kind === "PatchOptions" && force !== "") {
    errors.push(forbiddenField("force", "may not be specified for non-apply patch"));
  }
  if (errors.length > 0) {
    const shown = kind === "ApplyOptions" ? "PatchOptions" : kind;
    throw invalidObject({ group: "meta.k8s.io", kind: shown, name: "" }, errors);
  }
  const isForced = force !== "" && force !== "0" && force.toLowerCase() !== "false" && force !== "f" && force !== "F";
  return {
    dryRun: dryRun.length > 0,
    fieldManager,
    fieldValidation: fieldValidation as FieldValidation,
    force: isForced,
  };
}

/** What is wrong with a dryRun option: only "All" is known. */
export function dryRunErrors(values: readonly string[]): readonly FieldError[] {
  return values.every((value) => value === "All") ? [] : [notSupported("dryRun", values, ["All"])];
}

function managerErrors(manager: string): readonly FieldError[] {
  if (manager.length > MAX_MANAGER_LENGTH) {
    return [
      {
        type: "FieldValueTooLong",
        field: "fieldManager",
        message: `Too long: may not be more than ${MAX_MANAGER_LENGTH} bytes`,
      },
    ];
  }
  for (const char of manager) {
    if (!/[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(char)) {
      return [invalid("fieldManager", manager, "should only contain printable characters")];
    }
  }
  return [];
}
