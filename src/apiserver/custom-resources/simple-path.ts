/**
 * Paths of the scale subresource and of selectable fields: names joined by dots, `.spec.replicas`.
 */
import { isJsonObject, type JsonObject, ownValue, setOwn, type JsonDraft } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";

/** The value under a path, or undefined. */
export function valueAt(object: JsonObject, path: string): Json | undefined {
  let value: Json | undefined = object;
  for (const name of namesOf(path)) value = isJsonObject(value) ? ownValue(value, name) : undefined;
  return value;
}

/** The object with another value under the path; what does not change is shared. */
export function withValueAt(object: JsonObject, path: string, value: Json): JsonObject {
  const [name, ...rest] = namesOf(path);
  if (name === undefined) return object;
  const draft: JsonDraft = { ...object };
  if (rest.length === 0) setOwn(draft, name, value);
  else {
    const inner = ownValue(object, name);
    setOwn(draft, name, withValueAt(isJsonObject(inner) ? inner : {}, `.${rest.join(".")}`, value));
  }
  return draft;
}

/** The names of a path. */
export function namesOf(path: string): readonly string[] {
  return path.split(".").filter((name) => name !== "");
}
