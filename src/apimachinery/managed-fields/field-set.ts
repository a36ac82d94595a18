/**
 * Sets of fields, in the very form in which managedFields stores them (FieldsV1): a tree of path elements, an empty object or a "." marks a member.
 * Working on the stored form spares decoding and encoding. Sets are never changed; operations share what stays the same and
 * give back their input when nothing changes. Meaning as in structured-merge-diff's fieldpath.Set.
 */
import { findLargeMap } from "#apimachinery/large-map.ts";
import type { Schema } from "#apimachinery/schema.ts";
import { elementText, fieldNameOf } from "./path-element.ts";

/** A set of fields, or the part of one below a path element. The root `{}` is the empty set. */
export type FieldSet = { readonly [element: string]: FieldSet };

/** A set under construction. */
export type FieldSetDraft = { [element: string]: FieldSet };

/** A field that is a member and has no members below. */
export const leaf: FieldSet = Object.freeze({});

/** No fields. */
export const emptySet: FieldSet = leaf;

/** True for a set without members. */
export function isEmptySet(set: FieldSet): boolean {
  // To be asked whether there is any, an object of 100,000 keys lists them all.
  if (set["."] !== undefined || findLargeMap(set) !== undefined) return false;
  for (const _ in set) return false;
  return true;
}

/** Members of either. */
export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b || isEmptySet(b)) return a;
  if (isEmptySet(a)) return b;
  let draft: FieldSetDraft | undefined;
  for (const element in b) {
    const theirs = b[element] as FieldSet;
    const ours = a[element];
    const merged = ours === undefined ? theirs : unionNode(ours, theirs);
    if (merged !== ours) (draft ??= { ...a })[element] = merged;
  }
  return draft ?? a;
}

/** Members of both. */
export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  const draft: FieldSetDraft = {};
  for (const element in a) {
    const theirs = b[element];
    if (theirs === undefined || element === ".") continue;
    const common = intersectNode(a[element] as FieldSet, theirs);
    if (common !== undefined) draft[element] = common;
  }
  return draft;
}

/** Members of `a` that are no members of `b`. A parent in `b` does not take its children along. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  return subtract(a, b, differenceNode);
}

/** Members of `a` that are neither members of `b` nor below one. */
export function recursiveDifference(a: FieldSet, b: FieldSet): FieldSet {
  return subtract(a, b, (ours, theirs) => (isMember(theirs) ? undefined : recursiveNode(ours, theirs)));
}

/** True when the field at `path` (a list of path elements) is a member. */
export function hasField(set: FieldSet, path: readonly string[]): boolean {
  const node = path.reduce<FieldSet | undefined>((found, element) => found?.[element], set);
  return node !== undefined && path.length > 0 && isMember(node);
}

/** The set with one field only. */
export function setOfField(path: readonly string[]): FieldSet {
  return path.reduceRight<FieldSet>((below, element) => ({ [element]: below }), leaf);
}

/** All members as texts such as `.spec.containers[name="web"].image`; members of one level come before what is below. */
export function fieldTexts(set: FieldSet, prefix = ""): readonly string[] {
  const elements = Object.keys(set).filter((element) => element !== ".");
  const members = elements.filter((element) => isMember(set[element] as FieldSet));
  return [
    ...members.map((element) => prefix + elementText(element)),
    ...elements.flatMap((element) => fieldTexts(set[element] as FieldSet, prefix + elementText(element))),
  ];
}

/** All members as lists of path elements, in the order of {@link fieldTexts}. */
export function fieldPaths(set: FieldSet, prefix: readonly string[] = []): readonly (readonly string[])[] {
  const elements = Object.keys(set).filter((element) => element !== ".");
  const members = elements.filter((element) => isMember(set[element] as FieldSet));
  return [
    ...members.map((element) => [...prefix, element]),
    ...elements.flatMap((element) => fieldPaths(set[element] as FieldSet, [...prefix, element])),
  ];
}

/** The same set with its elements in upstream's order, so that equal sets are equal bytes. What is in order already is given back as it is. */
export function sortedSet(set: FieldSet): FieldSet {
  if (set === leaf) return leaf;
  const elements = Object.keys(set);
  if (elements.length === 0 || (elements.length === 1 && elements[0] === ".")) return leaf;
  const below = elements.map((element) => sortedSet(set[element] as FieldSet));
  const isSorted = elements.every((element, index) => index === 0 || (elements[index - 1] as string) < element);
  if (isSorted && elements.every((element, index) => below[index] === set[element])) return set;
  const order = elements.map((_, index) => index);
  if (!isSorted) order.sort((a, b) => ((elements[a] as string) < (elements[b] as string) ? -1 : 1));
  const draft: FieldSetDraft = {};
  for (const index of order) draft[elements[index] as string] = below[index] as FieldSet;
  return draft;
}

/** The set and every named field of the schema that leads to a member: with `.a.b` also `.a`, when `a` is a field and no free key. */
export function withNamedParents(set: FieldSet, schema: Schema | undefined): FieldSet {
  const draft: FieldSetDraft = {};
  for (const element in set) {
    const below = set[element] as FieldSet;
    if (element === "." || isEmptySet(below)) {
      draft[element] = below;
      continue;
    }
    const name = fieldNameOf(element);
    const field = name !== undefined && schema?.kind === "struct" ? schema.fields.get(name) : undefined;
    const named = withNamedParents(below, field?.schema ?? innerSchema(schema, name));
    draft[element] = field !== undefined && below["."] === undefined ? { ".": leaf, ...named } : named;
  }
  return draft;
}

/** True when the field that this node stands for is a member. */
export function isMember(node: FieldSet): boolean {
  return node["."] !== undefined || isEmptySet(node);
}

function innerSchema(schema: Schema | undefined, name: string | undefined): Schema | undefined {
  if (schema?.kind === "map" && name !== undefined) return schema.values;
  return schema?.kind === "list" && name === undefined ? schema.items : undefined;
}

function unionNode(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b) return a;
  if (isEmptySet(b)) return isMember(a) ? a : { ".": leaf, ...a };
  if (isEmptySet(a)) return isMember(b) ? b : { ".": leaf, ...b };
  return union(a, b);
}

function intersectNode(a: FieldSet, b: FieldSet): FieldSet | undefined {
  const isBoth = isMember(a) && isMember(b);
  const below = intersection(a, b);
  if (isEmptySet(below)) return isBoth ? leaf : undefined;
  return isBoth ? { ".": leaf, ...below } : below;
}

function differenceNode(a: FieldSet, b: FieldSet): FieldSet | undefined {
  const isGone = isMember(b);
  if (isEmptySet(a)) return isGone ? undefined : a;
  return withoutSelf(difference(a, b), isGone && isMember(a));
}

function recursiveNode(a: FieldSet, b: FieldSet): FieldSet | undefined {
  return isEmptySet(a) ? a : withoutSelf(recursiveDifference(a, b), false);
}

/** `node` is what is left below a member or parent; decides whether anything is left at all. */
function withoutSelf(node: FieldSet, isSelfGone: boolean): FieldSet | undefined {
  if (!isSelfGone || node["."] === undefined) return isEmptySet(node) ? undefined : node;
  const { ".": _, ...below } = node;
  return isEmptySet(below) ? undefined : below;
}

function subtract(
  a: FieldSet,
  b: FieldSet,
  subtractNode: (ours: FieldSet, theirs: FieldSet) => FieldSet | undefined,
): FieldSet {
  let draft: FieldSetDraft | undefined;
  for (const element in b) {
    const ours = element === "." ? undefined : a[element];
    if (ours === undefined) continue;
    const rest = subtractNode(ours, b[element] as FieldSet);
    if (rest === ours) continue;
    draft ??= { ...a };
    if (rest === undefined) delete draft[element];
    else draft[element] = rest;
  }
  return draft ?? a;
}
