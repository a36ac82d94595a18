/**
 * What is wrong with an object, in the words that Knative's clients know: `message: path, path`, one line per message. Shapes as upstream's `knative.dev/pkg/apis` FieldError.
 */

/** One message about some paths. A warning lets the object through. */
export type FieldError = {
  readonly message: string;
  readonly paths: readonly string[];
  readonly details?: string;
  readonly level?: "warning";
};

/** Path of the thing itself. */
export const currentField = "";

export function missingField(...paths: readonly string[]): FieldError {
  return { message: "missing field(s)", paths };
}

export function disallowedFields(...paths: readonly string[]): FieldError {
  return { message: "must not set the field(s)", paths };
}

export function invalidValue(value: unknown, path: string, ...details: readonly string[]): FieldError {
  return withDetails({ message: `invalid value: ${String(value)}`, paths: [path] }, details);
}

export function generic(message: string, ...paths: readonly string[]): FieldError {
  return { message, paths };
}

export function missingOneOf(...paths: readonly string[]): FieldError {
  return { message: "expected exactly one, got neither", paths };
}

export function multipleOneOf(...paths: readonly string[]): FieldError {
  return { message: "expected exactly one, got both", paths };
}

/** An element of a list is wrong, whatever is wrong with it. */
export function invalidArrayValue(value: unknown, field: string, index: number): FieldError {
  return invalidValue(JSON.stringify(value), `${field}[${index}]`);
}

export function invalidKeyName(key: string, path: string, ...details: readonly string[]): FieldError {
  return withDetails({ message: `invalid key name ${JSON.stringify(key)}`, paths: [path] }, details);
}

export function outOfBounds(
  value: number | string,
  lower: number | string,
  upper: number | string,
  path: string,
): FieldError {
  return { message: `expected ${lower} <= ${value} <= ${upper}`, paths: [path] };
}

function withDetails(error: FieldError, details: readonly string[]): FieldError {
  return details.length === 0 ? error : { ...error, details: details.join(", ") };
}

/** The errors as seen from one level up: `field` goes before their paths. */
export function viaField(field: string, errors: readonly FieldError[]): readonly FieldError[] {
  return errors.map((error) => ({ ...error, paths: error.paths.map((path) => joinPath(field, path)) }));
}

/** As {@link viaField}, for an element of a list. */
export function viaIndex(index: number, errors: readonly FieldError[]): readonly FieldError[] {
  return viaField(`[${index}]`, errors);
}

/** As {@link viaField}, for an element of a list in a field. */
export function viaFieldIndex(field: string, index: number, errors: readonly FieldError[]): readonly FieldError[] {
  return viaField(field, viaIndex(index, errors));
}

/** As {@link viaField}, for the value under a key of a map. */
export function viaKey(key: string, errors: readonly FieldError[]): readonly FieldError[] {
  return viaField(`[${key}]`, errors);
}

function joinPath(head: string, tail: string): string {
  if (tail === currentField) return head;
  return tail.startsWith("[") ? head + tail : `${head}.${tail}`;
}

/** Errors that forbid the object. */
export function fatal(errors: readonly FieldError[]): readonly FieldError[] {
  return errors.filter(({ level }) => level === undefined);
}

/** Errors that are only told. */
export function warnings(errors: readonly FieldError[]): readonly FieldError[] {
  return errors.filter(({ level }) => level === "warning");
}

/** That what may not change has changed. `what` is "fields" or "annotations". */
export function immutableChanged(details: string, what: string, ...paths: readonly string[]): readonly FieldError[] {
  return details === "" ? [] : [{ message: `Immutable ${what} changed (-old +new)`, paths, details }];
}

/** All in one text: equal messages once with all their paths, sorted. */
export function formatErrors(errors: readonly FieldError[]): string {
  const merged = new Map<string, { readonly error: FieldError; readonly paths: Set<string> }>();
  for (const error of errors) {
    const key = JSON.stringify([error.message, error.details ?? "", error.level ?? ""]);
    const known = merged.get(key) ?? { error, paths: new Set<string>() };
    for (const path of error.paths) known.paths.add(path);
    merged.set(key, known);
  }
  return [...merged.entries()]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { error, paths }]) => formatOne(error, [...paths].toSorted()))
    .join("\n");
}

function formatOne({ message, details }: FieldError, paths: readonly string[]): string {
  const line = `${message}: ${paths.join(", ")}`;
  return details === undefined || details === "" ? line : `${line}\n${details}`;
}
