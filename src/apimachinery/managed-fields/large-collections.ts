/**
 * Maps and lists too large for one turn of the event loop: their fields are put into a set in steps, with turns for others between. 90,000 keys take 100 ms and more, most of which the platform needs
 * to make an object of that many.
 */
import type { JsonObject } from "#apimachinery/json.ts";
import { keysOf, LARGE_MAP, noteLargeMap } from "#apimachinery/large-map.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { ListSchema } from "#apimachinery/schema.ts";
import { sortSteps } from "#apimachinery/sort-steps.ts";
import { type FieldSet, type FieldSetDraft, leaf } from "./field-set.ts";
import { fieldElement, itemElement } from "./path-element.ts";

/** What is left to do: sets that are not complete yet. Each step is short. Steps may add further ones. */
export type Later = Iterable<void>[];

/** All steps, also those that are added meanwhile. */
export function* allOf(later: Later): Generator<void, void> {
  for (const steps of later) yield* steps;
}

/** Larger collections are left for later. */
export const LARGE = 2000;

/** Entries of a step. */
const STEP = 50;

/** What a collection's items come to in a set; undefined for nothing. */
type NodeOf = (item: Json) => FieldSet | undefined;

/** Puts an object's keys into `set`, in order. */
export function* fillFromMap(set: FieldSetDraft, object: JsonObject, nodeOf: NodeOf): Iterable<void> {
  const keys = [...keysOf(object)];
  yield;
  yield* sortSteps(keys, (key) => key);
  const elements = Object.keys(set);
  for (let index = 0; index < keys.length; index++) {
    const key = keys[index] as string;
    const node = nodeOf(object[key] as Json);
    if (node !== undefined) {
      const element = fieldElement(key);
      set[element] = node;
      elements.push(element);
    }
    if (index % STEP === 0) yield;
  }
  // Elements begin with letters, so that they stand as they came.
  if (elements.length > LARGE_MAP) noteLargeMap(set, { keys: elements, isFinal: true });
}

/** Puts a list's items into `set`, in the order of their elements. Those that stand there twice are leaves. */
export function* fillFromList(
  set: FieldSetDraft,
  list: { readonly items: readonly Json[]; readonly schema: ListSchema },
  nodeOf: NodeOf,
): Iterable<void> {
  const found: { readonly element: string; readonly item: Json }[] = [];
  for (const item of list.items) {
    const element = itemElement(list.schema, item);
    if (element !== undefined) found.push({ element, item });
    if (found.length % STEP === 0) yield;
  }
  yield* sortSteps(found, ({ element }) => element);
  for (const [index, { element, item }] of found.entries()) {
    const isRepeated = element === found[index - 1]?.element || element === found[index + 1]?.element;
    const node = isRepeated ? leaf : nodeOf(item);
    if (node !== undefined) set[element] = node;
    if (index % STEP === 0) yield;
  }
}
