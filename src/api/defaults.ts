/**
 * Small tools for defaulting: a field counts as absent when it is missing, null or (as in Go, where strings are not pointers) empty.
 */
import type { Draft } from "./strategy.ts";

/** Sets a field that is missing or null. */
export function setDefault(draft: Draft, key: string, value: unknown): void {
  if (draft[key] === undefined || draft[key] === null) draft[key] = value;
}

/** Sets a text that is missing, null or empty. */
export function setTextDefault(draft: Draft, key: string, value: string): void {
  if (!draft[key]) draft[key] = value;
}

/** The object under `key`, made when it is missing. */
export function ensureObject(draft: Draft, key: string): Draft {
  setDefault(draft, key, {});
  return draft[key] as Draft;
}

/** The items of a list that may be missing. */
export function itemsOf(list: unknown): readonly Draft[] {
  return Array.isArray(list) ? (list.filter((item) => typeof item === "object" && item !== null) as Draft[]) : [];
}
