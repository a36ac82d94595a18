/**
 * JSON.stringify in steps, for values too large for one turn of the event loop.
 */

import { findLargeMap } from "#apimachinery/large-map.ts";

/** Entries of a step, of lists and objects that have many. */
const STEP = 100;
/** Objects and lists with fewer entries than this, none of which has any in it, are written at once. */
const FLAT = 32;

/** The text that JSON.stringify gives, in pieces. Between two of them others may have their turn. The value must not change meanwhile. */
export function* writeJsonSteps(value: unknown): Generator<string, void> {
  if (typeof value !== "object" || value === null || isFlat(value)) return yield JSON.stringify(value);
  // To be asked for its keys an object of 90,000 takes as long as it may, each time.
  yield "";
  if (Array.isArray(value)) yield* writeList(value);
  else yield* writeObject(value as Readonly<Record<string, unknown>>);
}

function* writeList(list: readonly unknown[]): Generator<string, void> {
  let text = "[";
  for (let index = 0; index < list.length; index++) {
    if (index > 0) text += ",";
    const item = list[index];
    if (isShallow(item)) text += JSON.stringify(item);
    else {
      yield text;
      text = "";
      yield* writeJsonSteps(item);
    }
    if (index % STEP === STEP - 1) {
      yield text;
      text = "";
    }
  }
  yield `${text}]`;
}

function* writeObject(object: Readonly<Record<string, unknown>>): Generator<string, void> {
  let text = "{";
  let isFirst = true;
  const known = findLargeMap(object);
  const keys = known?.isFinal === true ? known.keys : Object.keys(object);
  if (keys.length > STEP) yield "";
  for (let index = 0; index < keys.length; index++) {
    const key = keys[index] as string;
    const value = object[key];
    if (value === undefined) continue;
    text += `${isFirst ? "" : ","}${JSON.stringify(key)}:`;
    isFirst = false;
    if (isShallow(value)) text += JSON.stringify(value);
    else {
      yield text;
      text = "";
      yield* writeJsonSteps(value);
    }
    if (index % STEP === STEP - 1) {
      yield text;
      text = "";
    }
  }
  yield `${text}}`;
}

/** True for what is written at once. */
function isShallow(value: unknown): boolean {
  return typeof value !== "object" || value === null || isFlat(value);
}

function isFlat(value: object): boolean {
  // To begin going through the keys of a large one lists them all.
  if (findLargeMap(value) !== undefined) return false;
  let count = 0;
  for (const key in value) {
    const inner = (value as Readonly<Record<string, unknown>>)[key];
    if (++count > FLAT) return false;
    if (typeof inner === "object" && inner !== null && !isEmpty(inner)) return false;
  }
  return true;
}

function isEmpty(value: object): boolean {
  if (findLargeMap(value) !== undefined) return false;
  for (const _ in value) return false;
  return true;
}
