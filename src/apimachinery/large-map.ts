/**
 * What is known of large maps that were put together in steps. To be asked for its keys, a plain object of a hundred thousand takes 10 to 20 ms at once, each time; who has put it together key by key
 * knows them. It travels with the object, unseen by whoever lists, copies or writes it.
 */

import { setOwn } from "./codecs/own-key.ts";

/** What is known of a map. */
export type LargeMap = {
  /** All of its keys, in any order. */
  readonly keys: readonly string[];
  /** Length of its texts together; of maps that were read by a schema. */
  readonly characters?: number;
  /** True where the keys stand in the platform's order and the map never changes: it may be written by them. */
  readonly isFinal?: boolean;
};

/** Maps of more keys are worth it. */
export const LARGE_MAP = 2000;

const KNOWN: unique symbol = Symbol("large map");

/** Says what is known of a map that nobody changes any more. */
export function noteLargeMap(map: object, known: LargeMap): void {
  Object.defineProperty(map, KNOWN, { value: known, configurable: true });
}

/** What is known of a map, if anything is. */
export function findLargeMap(map: object): LargeMap | undefined {
  return (map as { readonly [KNOWN]?: LargeMap })[KNOWN];
}

/** A deep copy in which large maps and lists are the same: nobody changes these in place. */
export function cloneSmall<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.length > LARGE_MAP ? value : (value.map(cloneSmall) as T);
  if (findLargeMap(value) !== undefined) return value;
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) setOwn(copy, key, cloneSmall((value as Record<string, unknown>)[key]));
  return copy as T;
}

/** Its keys: known ones in any order, others in the platform's. */
export function keysOf(map: object): readonly string[] {
  return findLargeMap(map)?.keys ?? Object.keys(map);
}
