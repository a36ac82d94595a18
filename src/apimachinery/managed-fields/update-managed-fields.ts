/**
 * Keeps account of who owns which field when an object is created, updated or patched: what the write changes goes to its manager, and from
 * all others. On the path of every write, so it costs little when little changes. As apimachinery's util/managedfields.
 */
import type { JsonObject } from "#apimachinery/json.ts";
import type { KubeObject, ManagedFieldsEntry } from "#apimachinery/meta.ts";
import type { StructSchema } from "#apimachinery/schema.ts";
import { takeAtOnce } from "#apimachinery/steps.ts";
import { formatTime } from "#apimachinery/time.ts";
import { difference, type FieldSet, isEmptySet, recursiveDifference, union } from "./field-set.ts";
import type { Later } from "./large-collections.ts";
import {
  capUpdateManagers,
  decodeManagers,
  encodeManagers,
  ManagedFieldsError,
  type Manager,
  managerKey,
  type ManagerIdentity,
  type Managers,
} from "./managers.ts";
import { type Comparison, compareObjects } from "./typed-compare.ts";
import { createdFields } from "./typed-create.ts";

/** One write. */
export type ManagedFieldsUpdate = {
  /** The stored object; undefined when `next` is being created. */
  readonly live: KubeObject | undefined;
  /** What will be stored: complete, defaults filled in. */
  readonly next: KubeObject;
  /** Name from the fieldManager option, else from the user agent. */
  readonly manager: string;
  readonly apiVersion: string;
  /** "" for the main resource. */
  readonly subresource: string;
  /** Ms since 1970. */
  readonly now: number;
  readonly schema: StructSchema;
  /** Fields that this endpoint ignores, so that nobody comes to own them by it: `{ "f:status": {} }` for most main resources. */
  readonly resetFields?: FieldSet;
  /** Where it is given, large collections of a new object are missing in what comes back until these steps are done. */
  readonly later?: Later;
};

/** The managedFields that `next` is to be stored with; undefined for none. */
export function updateManagedFields(update: ManagedFieldsUpdate): readonly ManagedFieldsEntry[] | undefined {
  return takeAtOnce(updateManagedFieldsSteps(update));
}

/** {@link updateManagedFields} in steps, for large objects: of each set operation one. */
export function* updateManagedFieldsSteps(
  update: ManagedFieldsUpdate,
): Generator<void, readonly ManagedFieldsEntry[] | undefined> {
  const { live, next, subresource } = update;
  const given = subresource === "" ? next.metadata?.managedFields : undefined;
  const before = live?.metadata?.managedFields;
  if (isReset(given)) return live === undefined ? yield* tracked(update, new Map()) : undefined;
  const managers = readOr(given, () => readOr(before, () => new Map()));
  // An object that nobody is tracked for stays so until its first apply.
  if (managers.size === 0 && live !== undefined) return undefined;
  yield;
  return yield* tracked(update, managers, given?.length ? given : before);
}

function* tracked(
  update: ManagedFieldsUpdate,
  managers: Managers,
  before: readonly ManagedFieldsEntry[] = [],
): Generator<void, readonly ManagedFieldsEntry[] | undefined> {
  const after = yield* trackUpdate(update, managers);
  yield;
  return encodeManagers(capUpdateManagers(after), before);
}

/** The managers after the write. */
export function* trackUpdate(
  update: Omit<ManagedFieldsUpdate, "subresource"> & { readonly subresource?: string },
  managers: Managers,
): Generator<void, Managers> {
  const { live, next, schema, apiVersion, manager, resetFields, subresource = "" } = update;
  const identity: ManagerIdentity = {
    name: manager === "" ? "unknown" : manager,
    operation: "Update",
    apiVersion,
    subresource,
  };
  const key = managerKey(identity);
  const time = formatTime(update.now);
  if (live === undefined && managers.size === 0) {
    const created = createdFields(next as JsonObject, schema, update.later);
    const set = resetFields === undefined ? created : recursiveDifference(created, resetFields);
    return isEmptySet(set) ? managers : new Map([[key, { ...identity, set, isSorted: true, time }]]);
  }
  const compared = compareObjects((live ?? {}) as JsonObject, next as JsonObject, schema);
  yield;
  const comparison = filterComparison(compared, resetFields);
  const after = yield* withoutChanged(managers, comparison);
  yield;
  const changed = union(comparison.modified, comparison.added);
  if (isEmptySet(changed)) return after;
  const previous = after.get(key);
  const set = previous === undefined ? changed : union(changed, previous.set);
  return new Map(after).set(key, { ...identity, set, time });
}

/** The comparison without the fields that the endpoint ignores. */
export function filterComparison(comparison: Comparison, resetFields: FieldSet | undefined): Comparison {
  if (resetFields === undefined || isEmptySet(resetFields)) return comparison;
  return {
    added: recursiveDifference(comparison.added, resetFields),
    removed: recursiveDifference(comparison.removed, resetFields),
    modified: recursiveDifference(comparison.modified, resetFields),
  };
}

/** The managers without what changed under them; those that own nothing any more are gone. */
export function* withoutChanged(
  managers: Managers,
  comparison: Comparison,
  exceptKey?: string,
): Generator<void, Managers> {
  const { added, removed, modified } = comparison;
  if (isEmptySet(added) && isEmptySet(removed) && isEmptySet(modified)) return managers;
  const kept = new Map<string, Manager>();
  for (const [key, manager] of managers) {
    let { set } = manager;
    for (const changed of key === exceptKey ? [] : [modified, added, removed]) {
      yield;
      set = difference(set, changed);
    }
    if (set === manager.set) kept.set(key, manager);
    else if (!isEmptySet(set)) kept.set(key, { ...manager, set });
  }
  return kept;
}

/** An empty list, or one with an empty entry, is the client's wish to forget all managers. */
function isReset(entries: readonly ManagedFieldsEntry[] | undefined): boolean {
  if (entries === undefined || entries === null) return false;
  return entries.length === 0 || (entries.length === 1 && Object.keys(entries[0] as object).length === 0);
}

function readOr(entries: readonly ManagedFieldsEntry[] | undefined, otherwise: () => Managers): Managers {
  if (!entries?.length) return otherwise();
  try {
    return decodeManagers(entries);
  } catch (error) {
    if (error instanceof ManagedFieldsError) return otherwise();
    throw error;
  }
}
