/**
 * Small tools for JSON values that come from outside: telling objects apart, comparing, setting keys without touching prototypes.
 */
import type { Json } from "./meta.ts";

/** A JSON object that is only read. */
export type JsonObject = { readonly [key: string]: Json };

/** A JSON object under construction: private to whoever made it. */
export type JsonDraft = { [key: string]: Json };

/** True for objects, not for arrays and null. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** True for arrays. Narrows better than `Array.isArray` for read-only ones. */
export function isJsonArray(value: unknown): value is readonly Json[] {
  return Array.isArray(value);
}

/** The object's own value of a key; inherited ones ("constructor") do not count. */
export function ownValue(object: JsonObject, key: string): Json | undefined {
  const value = object[key];
  return value === undefined || Object.hasOwn(object, key) ? value : undefined;
}

/** Sets a key of a draft; "__proto__" becomes an ordinary key. */
export function setOwn(draft: JsonDraft, key: string, value: Json): void {
  if (key !== "__proto__") draft[key] = value;
  else Object.defineProperty(draft, key, { value, enumerable: true, configurable: true, writable: true });
}

/** A deep copy that its owner may change. Many times quicker than `structuredClone`, because it knows nothing but JSON. */
export function cloneJson<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(cloneJson) as T;
  const copy: JsonDraft = {};
  for (const key of Object.keys(value)) {
    const item = cloneJson((value as unknown as JsonObject)[key]) as Json;
    if (key === "__proto__") setOwn(copy, key, item);
    else copy[key] = item;
  }
  return copy as T;
}

/** Deep equality of JSON values; the order of keys does not count. */
export function jsonEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let index = 0; index < a.length; index++) if (!jsonEqual(a[index], b[index])) return false;
    return true;
  }
  return !Array.isArray(b) && objectsEqual(a as JsonObject, b as JsonObject);
}

/** The value as Go's `%v` prints it: `map[a:1 b:[x y]]`. Some of upstream's messages hold such texts. */
export function goText(value: unknown): string {
  if (value === null || value === undefined) return "<nil>";
  if (isJsonArray(value)) return `[${value.map(goText).join(" ")}]`;
  if (!isJsonObject(value)) return String(value);
  const entries = Object.keys(value).sort();
  return `map[${entries.map((key) => `${key}:${goText(value[key])}`).join(" ")}]`;
}

function objectsEqual(a: JsonObject, b: JsonObject): boolean {
  let count = 0;
  for (const key in a) {
    if (!Object.hasOwn(a, key)) continue;
    const other = b[key];
    if (other === undefined || !Object.hasOwn(b, key) || !jsonEqual(a[key], other)) return false;
    count += 1;
  }
  return count === Object.keys(b).length;
}
