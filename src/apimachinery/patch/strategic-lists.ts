/**
 * Lists in strategic merge patches: merged by key or as sets of scalars, then put in order. What the patch names comes in the patch's
 * order; what only the server has keeps its place relative to it.
 */
import { goText, isJsonObject, type JsonObject, ownValue } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { Schema } from "#apimachinery/schema.ts";
import { badRequest, StatusError } from "#apimachinery/status-error.ts";

/** How one list field behaves. */
export type ListRules = {
  /** False: the patch's list replaces. */
  readonly isMerged: boolean;
  /** Field that identifies an element; "" for lists of scalars. */
  readonly mergeKey: string;
  readonly items?: Schema;
  readonly name: string;
  readonly mergeElement: (old: JsonObject, patch: JsonObject) => JsonObject;
  /** The element without nulls and directives. */
  readonly cleanElement: (element: JsonObject) => JsonObject;
};

/** Merges the patch's list into the original one and orders the result. */
export function mergeLists(original: readonly Json[], patch: readonly Json[], rules: ListRules): readonly Json[] {
  if (original.length === 0 && patch.length === 0) return original;
  if (!holdsObjects(original, patch)) {
    return orderElements(unique([...original, ...patch]), patch, original, { ...rules, mergeKey: "" });
  }
  if (rules.mergeKey === "") throw plainError(`cannot merge lists without merge key for ${rules.name}`);
  const { remaining, elements } = applyElementDirectives(original, patch as readonly JsonObject[], rules);
  return orderElements(mergeByKey(remaining, elements, rules), elements, remaining, rules);
}

/** The list without the given scalars. */
export function deleteScalars(list: readonly Json[], unwanted: readonly Json[]): readonly Json[] {
  const gone = new Set(unwanted);
  return list.filter((item) => !gone.has(item));
}

/** `list` with the elements that `order` names in that order; the others keep their order of `serverOrder` and their place relative to them. */
export function orderElements(
  list: readonly Json[],
  order: readonly Json[],
  serverOrder: readonly Json[],
  rules: ListRules,
): readonly Json[] {
  const key = keyReader(rules);
  const inOrder = positions(order, key);
  const onServer = positions(serverOrder, key);
  const named = list.filter((item) => inOrder.has(key(item)));
  const others = list.filter((item) => !inOrder.has(key(item)));
  named.sort((a, b) => (inOrder.get(key(a)) as number) - (inOrder.get(key(b)) as number));
  others.sort((a, b) => (onServer.get(key(a)) ?? Infinity) - (onServer.get(key(b)) ?? Infinity) || 0);
  return interleave(others, named, (item) => onServer.get(key(item)));
}

/**
 * The order of the server's list for a list that $setElementOrder orders. Where the patch deletes elements, upstream reuses the list's memory,
 * and as many new elements count as the server's, at the end; results depend on it, so it is repeated here.
 */
export function serverOrderOf(original: readonly Json[], patch: readonly Json[], rules: ListRules): readonly Json[] {
  if (!rules.isMerged || rules.mergeKey === "") return original;
  const key = keyReader(rules);
  const isDelete = (item: Json): boolean => isJsonObject(item) && ownValue(item, "$patch") === "delete";
  const deleted = new Set(patch.filter(isDelete).map(key));
  const remaining = original.filter((item) => !deleted.has(key(item)));
  const known = new Set(remaining.map(key));
  const added = patch.filter((item) => isJsonObject(item) && !Object.hasOwn(item, "$patch") && !known.has(key(item)));
  return [...remaining, ...added.slice(0, original.length - remaining.length)];
}

/** Refuses a patch list whose order is not that of its $setElementOrder list. */
export function checkOrder(patch: readonly Json[], order: readonly Json[], rules: ListRules): void {
  if (order.length === 0 || patch.length === 0) return;
  const key = keyReader(rules);
  const wanted = patch.filter((item) => !isJsonObject(item) || !Object.hasOwn(item, "$patch"));
  let at = 0;
  for (const item of order) if (at < wanted.length && key(wanted[at] as Json) === key(item)) at += 1;
  if (at === wanted.length) return;
  throw plainError(
    `The order in patch list:\n${goText(patch)}\n doesn't match $setElementOrder list:\n${goText(order)}\n`,
  );
}

type Directed = { readonly remaining: readonly Json[]; readonly elements: readonly JsonObject[] };

/** Carries out `$patch: delete` and `$patch: replace` among the elements. */
function applyElementDirectives(original: readonly Json[], patch: readonly JsonObject[], rules: ListRules): Directed {
  const deleted = new Set<Json>();
  const elements: JsonObject[] = [];
  let isReplaced = false;
  for (const element of patch) {
    const directive = ownValue(element, "$patch");
    if (directive === undefined) elements.push(element);
    else if (directive === "delete") deleted.add(mergeKeyOf(element, rules.mergeKey));
    else if (directive === "replace") isReplaced = true;
    else if (directive === "merge") throw plainError("merging lists cannot yet be specified in the patch");
    else throw plainError(`unknown patch type: ${goText(directive)} in map: ${goText(element)}`);
  }
  if (isReplaced) return { remaining: elements.map(rules.cleanElement), elements: [] };
  const remaining = original.filter(
    (item) => !isJsonObject(item) || !deleted.has(ownValue(item, rules.mergeKey) ?? null),
  );
  return { remaining, elements };
}

function mergeByKey(original: readonly Json[], elements: readonly JsonObject[], rules: ListRules): readonly Json[] {
  const merged = [...original];
  const places = new Map<Json, number>();
  merged.forEach((item, index) => {
    const value = isJsonObject(item) ? ownValue(item, rules.mergeKey) : undefined;
    if (value !== undefined && !places.has(value)) places.set(value, index);
  });
  for (const element of elements) {
    const value = mergeKeyOf(element, rules.mergeKey);
    const place = places.get(value);
    if (place === undefined) {
      places.set(value, merged.length);
      merged.push(rules.cleanElement(element));
    } else {
      merged[place] = rules.mergeElement(merged[place] as JsonObject, element);
    }
  }
  return merged;
}

function interleave(
  left: readonly Json[],
  right: readonly Json[],
  serverPlace: (item: Json) => number | undefined,
): readonly Json[] {
  const merged: Json[] = [];
  let l = 0;
  let r = 0;
  while (l < left.length || r < right.length) {
    const leftPlace = l < left.length ? serverPlace(left[l] as Json) : undefined;
    const rightPlace = r < right.length ? serverPlace(right[r] as Json) : undefined;
    const takesLeft =
      r >= right.length || (leftPlace !== undefined && rightPlace !== undefined && leftPlace < rightPlace);
    if (takesLeft && l < left.length) merged.push(left[l++] as Json);
    else merged.push(right[r++] as Json);
  }
  return merged;
}

function positions(list: readonly Json[], key: (item: Json) => Json): ReadonlyMap<Json, number> {
  const places = new Map<Json, number>();
  list.forEach((item, index) => {
    if (!places.has(key(item))) places.set(key(item), index);
  });
  return places;
}

function keyReader({ mergeKey }: ListRules): (item: Json) => Json {
  if (mergeKey === "") return (item) => item;
  return (item) => mergeKeyOf(item, mergeKey);
}

function mergeKeyOf(element: Json, mergeKey: string): Json {
  if (!isJsonObject(element)) throw plainError("expected a map[string]interface {}, but received a string");
  const value = ownValue(element, mergeKey);
  if (value !== undefined) return value;
  throw plainError(`map: ${goText(element)} does not contain declared merge key: ${mergeKey}`);
}

/** True for lists of objects, false for lists of scalars; mixed lists are refused. */
function holdsObjects(...lists: readonly (readonly Json[])[]): boolean {
  const kinds = new Set(
    lists.flat(1).map((item) => (Array.isArray(item) ? "list" : item === null ? "null" : typeof item)),
  );
  if (kinds.has("list")) throw unprocessable("lists of lists are not supported");
  if (kinds.size > 1) {
    throw plainError(`list element types are not identical: ${goText(lists)}`);
  }
  return kinds.has("object");
}

function unique(items: readonly Json[]): readonly Json[] {
  return [...new Set(items)];
}

function unprocessable(message: string): StatusError {
  return new StatusError({
    reason: "Invalid",
    code: 422,
    message: "the server rejected our request due to an error in our request",
    details: { causes: [{ reason: "FieldValueInvalid", message, field: "patch" }] },
    cause: badRequest(message),
  });
}

function plainError(message: string): StatusError {
  return new StatusError({ reason: "Unknown", code: 500, message });
}
