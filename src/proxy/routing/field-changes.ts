/**
 * Filters on fields: remove, then set, then add.
 */
import type { FieldChanges } from "#proxy/config/route.ts";
import { type Fields, withoutFields } from "#proxy/message/fields.ts";

export function changeFields(fields: Fields, changes: FieldChanges | undefined): Fields {
  if (changes === undefined) return fields;
  const { remove = [], set = [], add = [] } = changes;
  const gone = new Set([...remove, ...set.map(([name]) => name)]);
  const kept = gone.size === 0 ? fields : withoutFields(fields, (name) => gone.has(name));
  return set.length + add.length === 0 ? kept : [...kept, ...set.flat(), ...add.flat()];
}
