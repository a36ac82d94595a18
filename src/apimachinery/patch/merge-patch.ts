/**
 * JSON merge patch, RFC 7396: objects are merged, null deletes, everything else replaces. Bad patches are refused as upstream refuses them.
 */
import { isJsonArray, isJsonObject, type JsonDraft, type JsonObject, ownValue, setOwn } from "#apimachinery/json.ts";
import { keysOf, LARGE_MAP, noteLargeMap } from "#apimachinery/large-map.ts";
import type { Json } from "#apimachinery/meta.ts";
import { takeAtOnce } from "#apimachinery/steps.ts";
import { badRequest } from "#apimachinery/status-error.ts";

/** The document with the patch applied. Throws StatusError 400 when the patch is no object. */
export function applyMergePatch(document: JsonObject, patch: unknown): JsonObject {
  return takeAtOnce(applyMergePatchSteps(document, patch));
}

/** {@link applyMergePatch} in steps, for large patches. */
export function* applyMergePatchSteps(document: JsonObject, patch: unknown): Generator<void, JsonObject> {
  if (!isJsonObject(patch)) throw badRequest("Invalid JSON Patch");
  return yield* mergeObjects(document, patch);
}

/** Keys that are merged in one step. */
const STEP = 500;

/** The merge patch that leads from one document to the other. */
export function createMergePatch(from: JsonObject, to: JsonObject): JsonObject {
  const patch: JsonDraft = {};
  for (const key of Object.keys(from)) if (!Object.hasOwn(to, key)) setOwn(patch, key, null);
  for (const [key, value] of Object.entries(to)) {
    const old = ownValue(from, key);
    if (isJsonObject(old) && isJsonObject(value)) {
      const inner = createMergePatch(old, value);
      if (Object.keys(inner).length > 0) setOwn(patch, key, inner);
    } else if (old === undefined || JSON.stringify(old) !== JSON.stringify(value)) {
      setOwn(patch, key, value);
    }
  }
  return patch;
}

function* mergeObjects(document: JsonObject, patch: JsonObject): Generator<void, JsonObject> {
  const merged: JsonDraft = { ...document };
  const patchKeys = keysOf(patch);
  const isLarge = patchKeys.length > LARGE_MAP;
  const keys: string[] = isLarge ? [...keysOf(document)] : [];
  let hasDeleted = false;
  let count = 0;
  for (const key of patchKeys) {
    if (++count % STEP === 0) yield;
    const value = patch[key] as Json;
    hasDeleted ||= value === null;
    if (isLarge && !Object.hasOwn(document, key)) keys.push(key);
    // Not in what is being made: that grows, and each look at an object of 100,000 keys is dear.
    const old = ownValue(document, key);
    if (value === null) delete merged[key];
    else if (isJsonObject(old) && isJsonObject(value)) setOwn(merged, key, yield* mergeObjects(old, value));
    else setOwn(merged, key, withoutNulls(value));
  }
  if (isLarge && !hasDeleted) noteLargeMap(merged, { keys });
  return merged;
}

/** Nulls in what is new have nothing to delete. Upstream drops them inside lists' objects as well. */
function withoutNulls(value: Json): Json {
  if (isJsonArray(value)) return value.map(withoutNulls);
  if (!isJsonObject(value)) return value;
  const kept: JsonDraft = {};
  for (const [key, inner] of Object.entries(value)) if (inner !== null) setOwn(kept, key, withoutNulls(inner));
  return kept;
}
