/**
 * Keys that clients choose, on plain objects: `__proto__` stays an ordinary key and never reaches a prototype, and none may make V8 misread those of others.
 */
import { badRequest } from "#apimachinery/status-error.ts";

/** Sets `object[key]`. */
export function setOwn(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key !== "__proto__") object[key] = value;
  else Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
}

/** The own value of `key`, never one of the prototype. */
export function getOwn(object: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/** An object's keys in order, as Go writes a map's. Most come in order, so that is looked at first. */
export function sortedKeys(object: object): readonly string[] {
  return inOrder(Object.keys(object));
}

/** The same, in order. */
export function inOrder(keys: string[]): readonly string[] {
  for (let index = 1; index < keys.length; index++) {
    if ((keys[index - 1] as string) > (keys[index] as string)) return keys.sort();
  }
  return keys;
}

/**
 * Once an object had the key `x\` beside another one, JSON.parse takes a later `"x\""` in its place for that same key (seen in V8 13.6 and 14.6): what somebody wrote would change what everybody else
 * reads. So such keys are refused where they come in, before any object has them. Field names, labels and annotations never look so; keys of free maps in custom resources could.
 */
export function assertReadableKey(key: string): void {
  if (key.endsWith("\\")) throw unreadableKey();
}

/** 400: a key ends with a backslash. */
export function unreadableKey(): Error {
  return badRequest("json: a key ends with a backslash, which this server does not take: give the key another end");
}
