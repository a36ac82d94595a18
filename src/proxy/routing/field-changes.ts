/**
 * Filters on fields: remove, then set, then add.
 */
import type { FieldChanges, FieldPair } from "#proxy/config/route.ts";
import type { Fields } from "#proxy/message/fields.ts";

export function changeFields(fields: Fields, changes: FieldChanges | undefined): Fields {
  if (changes === undefined) return fields;
  const { remove, set, add } = changes;
  const changed: string[] = [];
  // On the way of every request: neither sets nor closures, for the lists are short.
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] as string;
    if (remove?.includes(name) !== true && !isSet(set, name)) changed.push(name, fields[index + 1] as string);
  }
  pushAll(changed, set);
  pushAll(changed, add);
  return changed;
}

function isSet(set: readonly FieldPair[] | undefined, name: string): boolean {
  if (set !== undefined) for (const pair of set) if (pair[0] === name) return true;
  return false;
}

function pushAll(fields: string[], pairs: readonly FieldPair[] | undefined): void {
  if (pairs !== undefined) for (const pair of pairs) fields.push(pair[0], pair[1]);
}
