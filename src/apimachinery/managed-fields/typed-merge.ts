/**
 * Merges what somebody applies into a live object, by schema: granular objects and lists are merged, everything else is replaced. Order of
 * merged lists as in structured-merge-diff's Merge. Parts that do not change are shared with the live object.
 */
import { type JsonDraft, type JsonObject, setOwn } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { ListSchema, MapSchema, Schema, StructSchema } from "#apimachinery/schema.ts";
import {
  childSchema,
  indexItems,
  isEmptyValue,
  isGranularList,
  isGranularObject,
  listOf,
  objectOf,
} from "./typed-walk.ts";
import { itemElement } from "./path-element.ts";

/** The live object with the applied one merged into it. */
export function mergeObjects(live: JsonObject, applied: JsonObject, schema: StructSchema): JsonObject {
  return mergeFields(live, applied, schema);
}

function merge(live: Json | undefined, applied: Json, schema: Schema): Json {
  if (live === undefined) return applied;
  if (isEmptyValue(live) && isEmptyValue(applied)) return applied;
  if (isGranularObject(schema, live) && isGranularObject(schema, applied)) {
    return mergeFields(objectOf(live), objectOf(applied), schema);
  }
  if (isGranularList(schema, live) && isGranularList(schema, applied)) {
    return mergeItems(listOf(live), listOf(applied), schema);
  }
  return applied;
}

function mergeFields(live: JsonObject, applied: JsonObject, schema: StructSchema | MapSchema): JsonObject {
  const merged: JsonDraft = { ...live };
  for (const key in applied) {
    const old = Object.hasOwn(live, key) ? live[key] : undefined;
    setOwn(merged, key, merge(old, applied[key] as Json, childSchema(schema, key)));
  }
  return merged;
}

/** Applied items come in their order; live ones keep theirs around them. */
function mergeItems(live: readonly Json[], applied: readonly Json[], schema: ListSchema): readonly Json[] {
  const liveIndex = indexItems(schema, live);
  const appliedIndex = indexItems(schema, applied);
  const left = elementsOf(live, schema);
  const right = [...appliedIndex.keys()];
  const shared = right.filter((element) => liveIndex.has(element));
  const done = new Set<string>();
  const merged: Json[] = [];
  const take = (element: string): void => {
    done.add(element);
    const lives = liveIndex.get(element);
    const [item] = appliedIndex.get(element) as readonly Json[];
    // Items that the live list holds several times are not merged with but replaced, as upstream does.
    merged.push(merge(lives?.length === 1 ? lives[0] : undefined, item as Json, schema.items));
  };
  let next = 0;
  for (let l = 0, r = 0; l < left.length || r < right.length; ) {
    const ours = left[l];
    const theirs = right[r];
    if (ours !== undefined && theirs !== undefined) {
      if (ours.element === theirs) {
        take(theirs);
        l += 1;
        r += 1;
        next += 1;
        continue;
      }
      if (appliedIndex.has(ours.element) && next < shared.length && shared[next] !== ours.element) {
        l += 1;
        continue;
      }
    }
    if (ours !== undefined) {
      if (!appliedIndex.has(ours.element)) {
        merged.push(ours.item);
        l += 1;
        continue;
      }
      if (done.has(ours.element)) l += 1;
    }
    if (theirs !== undefined) {
      take(theirs);
      r += 1;
      if (shared[next] === theirs) next += 1;
    }
  }
  return merged;
}

function elementsOf(items: readonly Json[], schema: ListSchema): readonly { element: string; item: Json }[] {
  return items.map((item, index) => ({ element: itemElement(schema, item) ?? `i:${index}`, item }));
}
