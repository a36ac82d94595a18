/**
 * Objects that several parts read at once are frozen, all the way down, so that nobody can change them by mistake.
 */
import type { KubeObject } from "./meta.ts";

/** {@link deepFreeze} for an object of the API, but for the fields in managedFields: half of a pod, and nobody writes there. */
export function freezeObject<T extends KubeObject>(object: T): T {
  if (Object.isFrozen(object)) return object;
  for (const entry of object.metadata?.managedFields ?? []) Object.freeze(entry);
  return deepFreeze(object);
}

/** Freezes `value` and everything in it, in place, and gives it back. What is frozen already is taken to be frozen all the way down. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  if (Array.isArray(value)) {
    for (const item of value) deepFreeze(item);
  } else {
    for (const key in value) deepFreeze(value[key]);
  }
  return Object.freeze(value);
}
