/**
 * The schema of values that no schema describes: what they are is seen from them. Objects are granular, everything else is a leaf. As structured-merge-diff's deduced type.
 */
import type { MapSchema } from "./schema.ts";

/** Fits every value, although it calls itself a map. */
export const deducedSchema: MapSchema = deduced();

function deduced(): MapSchema {
  const schema: { -readonly [key in keyof MapSchema]: MapSchema[key] } = {
    kind: "map",
    values: { kind: "scalar", type: "any" },
    mapType: "granular",
    patchStrategy: [],
  };
  schema.values = schema;
  return schema;
}
