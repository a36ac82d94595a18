/**
 * Which fields Go shows in JSON: the rules of encoding/json's omitempty and omitzero as they meet a schema's fields.
 */
import type { FieldSchema, ScalarSchema, Schema } from "#apimachinery/schema.ts";

/** What is shown of a field without a value. */
export type Absence =
  /** Nothing. */
  | { readonly shown: "nothing" }
  /** This value: null for nil, "" or 0 for a plain one. */
  | { readonly shown: "value"; readonly value: unknown }
  /** A struct's own empty form. */
  | { readonly shown: "empty-struct" };

/** What Go shows where a field has no value. */
export function absenceOf(field: FieldSchema): Absence {
  const { schema } = field;
  if (isNilable(field)) return field.omitEmpty ? { shown: "nothing" } : { shown: "value", value: null };
  if (schema.kind === "struct") return field.omitZero === true ? { shown: "nothing" } : { shown: "empty-struct" };
  // omitempty does nothing for Go's structs, which quantities, times and the like are.
  const isOmitted = schema.kind === "scalar" && isPlain(schema) ? field.omitEmpty : field.omitZero === true;
  return isOmitted ? { shown: "nothing" } : { shown: "value", value: zeroOf(schema) };
}

/** True when Go leaves the field out although it has this value: "" or 0 with omitempty, empty lists and maps. `size` is how many entries a list or map has. */
export function isOmittedValue(field: FieldSchema, value: unknown, size: number): boolean {
  if (field.isPointer === true) return false;
  if (field.omitZero === true && value === null) return true;
  if (!field.omitEmpty) return false;
  const { schema } = field;
  if (schema.kind === "list" || schema.kind === "map") return size === 0;
  return schema.kind === "scalar" && (isPlain(schema) || schema.type === "bytes") && value === zeroOf(schema);
}

/** The zero of a scalar as JSON shows it. */
export function zeroOf(schema: Schema): unknown {
  if (schema.kind !== "scalar") return null;
  switch (schema.type) {
    case "string":
    case "bytes":
      return "";
    case "boolean":
      return false;
    case "int32":
    case "int64":
    case "double":
    case "intOrString":
      return 0;
    case "quantity":
      return "0";
    case "duration":
      return "0s";
    case "time":
    case "microTime":
    case "any":
      return null;
  }
}

/** True where Go has nil: pointers, lists, maps, bytes. */
function isNilable(field: FieldSchema): boolean {
  const { schema } = field;
  if (field.isPointer === true || schema.kind === "list" || schema.kind === "map") return true;
  return schema.kind === "scalar" && schema.type === "bytes";
}

function isPlain(schema: ScalarSchema): boolean {
  return ["string", "boolean", "int32", "int64", "double"].includes(schema.type);
}
