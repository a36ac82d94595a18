/**
 * Types as Go's errors name them.
 */
import type { ScalarSchema, Schema } from "#apimachinery/schema.ts";

/** The type as Go's reflection prints it: "v1.PodSpec", "[]v1.Container", "map[string]string", "v1.Protocol". */
export function goTypeOf(schema: Schema): string {
  if (schema.kind === "struct") return schema.name.split(".").slice(-2).join(".");
  if (schema.goType !== undefined) return schema.goType;
  switch (schema.kind) {
    case "list":
      return `[]${goTypeOf(schema.items)}`;
    case "map":
      return `map[${schema.goKeyType ?? "string"}]${goTypeOf(schema.values)}`;
    case "scalar":
      return plainGoTypes[schema.type] ?? schema.type;
  }
}

const plainGoTypes: Readonly<Partial<Record<ScalarSchema["type"], string>>> = {
  boolean: "bool",
  double: "float64",
  bytes: "[]uint8",
  time: "v1.Time",
  microTime: "v1.MicroTime",
  duration: "v1.Duration",
  quantity: "resource.Quantity",
  intOrString: "intstr.IntOrString",
  any: "runtime.RawExtension",
};

/** What a value of parsed JSON is: "bool", "array", "string". */
export function jsonTypeOf(value: unknown): string {
  if (Array.isArray(value)) return "array";
  return typeof value === "boolean" ? "bool" : typeof value;
}
