/**
 * What is wrong with a field of an object, and the 422 that says so. Message shapes as in apimachinery's util/validation/field.
 */
import { StatusError } from "./status-error.ts";

/** Upstream's cause types for field errors. */
export type FieldErrorType =
  | "FieldValueRequired"
  | "FieldValueInvalid"
  | "FieldValueDuplicate"
  | "FieldValueNotSupported"
  | "FieldValueForbidden"
  | "FieldValueNotFound"
  | "FieldValueTooLong"
  | "FieldValueTooMany"
  | "FieldValueTypeInvalid"
  | "InternalError";

/** One invalid field. `message` is complete, without the field's path: `Invalid value: "a_b": must be …`. */
export type FieldError = { readonly type: FieldErrorType; readonly field: string; readonly message: string };

/** `Required value` or `Required value: detail`. */
export function required(field: string, detail = ""): FieldError {
  return { type: "FieldValueRequired", field, message: withDetail("Required value", detail) };
}

/** `Invalid value: <value>: detail`; strings are quoted, objects shown as JSON. */
export function invalid(field: string, value: unknown, detail: string): FieldError {
  return { type: "FieldValueInvalid", field, message: withDetail(`Invalid value: ${show(value)}`, detail) };
}

/** `Duplicate value: <value>`. */
export function duplicate(field: string, value: unknown): FieldError {
  return { type: "FieldValueDuplicate", field, message: `Duplicate value: ${show(value)}` };
}

/** `Unsupported value: <value>: supported values: "A", "B"`. */
export function notSupported(field: string, value: unknown, supported: readonly string[]): FieldError {
  const list = supported.map((item) => JSON.stringify(item)).join(", ");
  const detail = supported.length === 0 ? "" : `supported values: ${list}`;
  return { type: "FieldValueNotSupported", field, message: withDetail(`Unsupported value: ${show(value)}`, detail) };
}

/** `Forbidden: detail`. */
export function forbiddenField(field: string, detail: string): FieldError {
  return { type: "FieldValueForbidden", field, message: withDetail("Forbidden", detail) };
}

/** `Not found: <value>`. */
export function fieldNotFound(field: string, value: unknown): FieldError {
  return { type: "FieldValueNotFound", field, message: `Not found: ${show(value)}` };
}

/** `Too long: may not be more than N bytes`. The value itself is left out, as upstream does. */
export function tooLong(field: string, maxBytes: number): FieldError {
  return { type: "FieldValueTooLong", field, message: `Too long: may not be more than ${maxBytes} bytes` };
}

/** `Too many: N: must have at most M items`. */
export function tooMany(field: string, actual: number, max: number): FieldError {
  return { type: "FieldValueTooMany", field, message: `Too many: ${actual}: must have at most ${max} items` };
}

/** 422: `Pod "web" is invalid: spec.x: …`, several joined as `[a, b]`, each also a cause. `kind` is qualified: "Deployment.apps". */
export function invalidObject(
  subject: { readonly group: string; readonly kind: string; readonly name: string },
  errors: readonly FieldError[],
): StatusError {
  const lines = [
    ...new Set(errors.map((error) => (error.field === "" ? error.message : `${error.field}: ${error.message}`))),
  ];
  const text = lines.length === 1 ? lines[0] : `[${lines.join(", ")}]`;
  const kind = subject.group === "" ? subject.kind : `${subject.kind}.${subject.group}`;
  return new StatusError({
    reason: "Invalid",
    code: 422,
    message: `${kind} ${JSON.stringify(subject.name)} is invalid: ${text}`,
    details: {
      ...(subject.name === "" ? {} : { name: subject.name }),
      ...(subject.group === "" ? {} : { group: subject.group }),
      kind: subject.kind,
      causes: errors.map((error) => ({ reason: error.type, message: error.message, field: error.field })),
    },
  });
}

function withDetail(text: string, detail: string): string {
  return detail === "" ? text : `${text}: ${detail}`;
}

function show(value: unknown): string {
  return value === undefined ? "null" : JSON.stringify(value);
}
