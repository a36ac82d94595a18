/**
 * Strategic merge patch: a merge patch that knows the kind's lists. Lists with a merge key are merged by it; `$patch`, `$retainKeys`,
 * `$deleteFromPrimitiveList/…` and `$setElementOrder/…` steer it. Results and errors as apimachinery's util/strategicpatch; lists are in strategic-lists.ts.
 */
import {
  goText,
  isJsonArray,
  isJsonObject,
  type JsonDraft,
  type JsonObject,
  ownValue,
  setOwn,
} from "#apimachinery/json.ts";
import { keysOf, LARGE_MAP, noteLargeMap } from "#apimachinery/large-map.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { FieldSchema, Schema, StructSchema } from "#apimachinery/schema.ts";
import { badRequest, StatusError } from "#apimachinery/status-error.ts";
import { takeAtOnce } from "#apimachinery/steps.ts";
import {
  checkOrder,
  deleteScalars,
  type ListRules,
  mergeLists,
  orderElements,
  serverOrderOf,
} from "./strategic-lists.ts";

const PATCH = "$patch";
const RETAIN_KEYS = "$retainKeys";
const DELETE_PREFIX = "$deleteFromPrimitiveList";
const ORDER_PREFIX = "$setElementOrder";

/** The document with the patch applied; `schema` is the kind's. Throws StatusError: 400 for bad directives, 422 for lists of lists, 500 as upstream for the rest. */
export function applyStrategicMergePatch(document: JsonObject, patch: unknown, schema: StructSchema): JsonObject {
  return takeAtOnce(applyStrategicMergePatchSteps(document, patch, schema));
}

/** {@link applyStrategicMergePatch} in steps, for large patches. */
export function* applyStrategicMergePatchSteps(
  document: JsonObject,
  patch: unknown,
  schema: StructSchema,
): Generator<void, JsonObject> {
  if (!isJsonObject(patch)) throw badRequest("invalid JSON document");
  return yield* mergeObject(document, patch, schema);
}

/** Keys that are merged in one step. */
const STEP = 500;

function* mergeObject(
  original: JsonObject,
  patch: JsonObject,
  schema: Schema | undefined,
): Generator<void, JsonObject> {
  const directive = ownValue(patch, PATCH);
  if (directive !== undefined) return yield* directed(directive, patch);
  const retained = applyRetainKeys(original, patch);
  const merged: JsonDraft = { ...retained };
  const ordered = mergeOrderedLists(merged, patch, schema);
  let count = 0;
  for (const key of keysOf(patch)) {
    if (++count % STEP === 0) yield;
    if (key === RETAIN_KEYS || key.startsWith(ORDER_PREFIX) || ordered.has(key)) continue;
    const value = patch[key] as Json;
    if (typeof value !== "object" && !key.startsWith(DELETE_PREFIX)) setOwn(merged, key, value);
    else yield* mergeKey(merged, key, value, schema);
  }
  noteKeys(merged, retained, patch);
  return merged;
}

/** Of a large patch of texts and numbers it is known what it has led to. */
function noteKeys(merged: JsonObject, original: JsonObject, patch: JsonObject): void {
  const added = keysOf(patch);
  if (added.length <= LARGE_MAP || !added.every((key) => typeof patch[key] !== "object" && !key.startsWith("$")))
    return;
  noteLargeMap(merged, { keys: [...keysOf(original), ...added.filter((key) => !Object.hasOwn(original, key))] });
}

/** A value that is new: without nulls, which have nothing to delete, and without directives. Undefined when a directive says to leave it out. */
function withoutDirectives(value: Json): Json | undefined {
  if (isJsonArray(value)) return value.map(withoutDirectives).filter((item) => item !== undefined);
  if (!isJsonObject(value)) return value;
  if (Object.hasOwn(value, PATCH)) return undefined;
  return cleaned(value);
}

function cleaned(value: JsonObject): JsonObject {
  return takeAtOnce(cleanedSteps(value));
}

function* cleanedSteps(value: JsonObject): Generator<void, JsonObject> {
  const kept: JsonDraft = {};
  let count = 0;
  for (const key of keysOf(value)) {
    if (++count % STEP === 0) yield;
    const inner = value[key] as Json;
    if (inner === null || key === PATCH || key === RETAIN_KEYS) continue;
    if (key.startsWith(ORDER_PREFIX) || key.startsWith(DELETE_PREFIX)) continue;
    const clean = withoutDirectives(inner);
    if (clean !== undefined) setOwn(kept, key, clean);
  }
  noteKeys(kept, {}, value);
  return kept;
}

function* directed(directive: Json, patch: JsonObject): Generator<void, JsonObject> {
  if (directive === "replace") return yield* cleanedSteps(patch);
  if (directive === "delete") return {};
  throw plainError(`unknown patch type: ${goText(directive)} in map: ${goText(patch)}`);
}

/** Keys of the original that the patch's $retainKeys does not name go. */
function applyRetainKeys(original: JsonObject, patch: JsonObject): JsonObject {
  const directive = ownValue(patch, RETAIN_KEYS);
  if (directive === undefined) return original;
  if (!isJsonArray(directive)) throw badRequest("invalid patch format of retainKeys");
  const names = new Set(directive);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null || key === RETAIN_KEYS || key.startsWith(DELETE_PREFIX) || key.startsWith(ORDER_PREFIX))
      continue;
    if (!names.has(key)) throw badRequest("invalid patch format of retainKeys");
  }
  return Object.fromEntries(Object.entries(original).filter(([key]) => names.has(key)));
}

/** Merges the lists that a $setElementOrder directive orders, and tells which keys these were. */
function mergeOrderedLists(merged: JsonDraft, patch: JsonObject, schema: Schema | undefined): ReadonlySet<string> {
  const done = new Set<string>();
  for (const directive of keysOf(patch)) {
    if (!directive.startsWith(ORDER_PREFIX)) continue;
    const order = listOf(patch[directive] as Json);
    const key = keyOf(directive, ORDER_PREFIX, "invalid patch format of setElementOrder list");
    const originalList = ownValue(merged, key);
    const patchList = ownValue(patch, key);
    const original = originalList === undefined ? [] : listOf(originalList);
    const items = patchList === undefined || patchList === null ? [] : listOf(patchList);
    const rules = listRules(fieldOf(schema, key), schema, key);
    checkOrder(items, order, rules);
    if (originalList === undefined && patchList === undefined) continue;
    done.add(key);
    if (patchList === null) {
      delete merged[key];
      continue;
    }
    const list =
      originalList === undefined
        ? (withoutDirectives(items) as readonly Json[])
        : patchList === undefined
          ? original
          : mergeListField(original, items, rules);
    setOwn(merged, key, orderElements(list, order, serverOrderOf(original, items, rules), rules));
  }
  return done;
}

function* mergeKey(merged: JsonDraft, key: string, value: Json, schema: Schema | undefined): Generator<void, void> {
  if (key.startsWith(DELETE_PREFIX)) {
    const name = keyOf(key, DELETE_PREFIX, "invalid patch format of primitive list");
    const current = ownValue(merged, name);
    if (isJsonArray(current) && isJsonArray(value)) setOwn(merged, name, deleteScalars(current, value));
    return;
  }
  const old = ownValue(merged, key);
  if (value === null) delete merged[key];
  else if (isJsonObject(old) && isJsonObject(value)) yield* mergeStructField(merged, key, old, value, schema);
  else if (isJsonArray(old) && isJsonArray(value)) {
    setOwn(merged, key, mergeListField(old, value, listRules(fieldOf(schema, key), schema, key)));
  } else {
    const isPlain = isJsonObject(value) && !Object.hasOwn(value, PATCH);
    const added = isPlain ? yield* cleanedSteps(value) : withoutDirectives(value);
    if (added === undefined) delete merged[key];
    else setOwn(merged, key, added);
  }
}

function* mergeStructField(
  merged: JsonDraft,
  key: string,
  old: JsonObject,
  value: JsonObject,
  schema: Schema | undefined,
): Generator<void, void> {
  const field = fieldOf(schema, key);
  const isReplaced = field.patchStrategy.includes("replace");
  setOwn(merged, key, yield* isReplaced ? cleanedSteps(value) : mergeObject(old, value, field.schema));
}

function mergeListField(original: readonly Json[], patch: readonly Json[], rules: ListRules): readonly Json[] {
  if (!rules.isMerged) return withoutDirectives(patch) as readonly Json[];
  return mergeLists(original, patch, rules);
}

type KnownField = Pick<FieldSchema, "schema" | "patchStrategy">;

/** Only fields that both sides have are looked up, so an unknown one is an error, as upstream. */
function fieldOf(schema: Schema | undefined, key: string): KnownField {
  if (schema?.kind === "struct") {
    const field = schema.fields.get(key);
    if (field !== undefined) return field;
    if (schema.preservesUnknownFields) return { schema: { kind: "scalar", type: "any" }, patchStrategy: [] };
    const name = schema.name.slice(schema.name.lastIndexOf(".") + 1);
    throw plainError(`unable to find api field in struct ${name} for the json field ${JSON.stringify(key)}`);
  }
  if (schema?.kind === "map") return { schema: schema.values, patchStrategy: schema.patchStrategy };
  return { schema: { kind: "scalar", type: "any" }, patchStrategy: [] };
}

function listRules(field: KnownField, parent: Schema | undefined, key: string): ListRules {
  const list = field.schema.kind === "list" ? field.schema : undefined;
  const strategies = field.patchStrategy.length > 0 ? field.patchStrategy : (list?.patchStrategy ?? []);
  return {
    isMerged: strategies.includes("merge"),
    mergeKey: list?.patchMergeKey ?? "",
    ...(list === undefined ? {} : { items: list.items }),
    name: parent?.kind === "struct" ? key : "map",
    mergeElement: (old, patch) => takeAtOnce(mergeObject(old, patch, list?.items)),
    cleanElement: cleaned,
  };
}

function listOf(value: Json): readonly Json[] {
  if (isJsonArray(value)) return value;
  throw plainError(`expected a []interface {}, but received a ${goType(value)}`);
}

function keyOf(directive: string, prefix: string, problem: string): string {
  const slash = directive.indexOf("/");
  if (slash < 0 || directive.slice(0, slash) !== prefix) throw badRequest(problem);
  return directive.slice(slash + 1);
}

function goType(value: Json): string {
  if (value === null) return "%!s(<nil>)";
  if (typeof value === "object") return "map[string]interface {}";
  return typeof value === "string" ? "string" : typeof value === "boolean" ? "bool" : "float64";
}

/** Upstream answers these as they are, with 500 and no reason. */
function plainError(message: string): StatusError {
  return new StatusError({ reason: "Unknown", code: 500, message });
}
