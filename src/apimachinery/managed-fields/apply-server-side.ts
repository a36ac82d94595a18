/**
 * Server-side apply: merges what a manager wants into the live object, takes away what it no longer wants and nobody else owns, and refuses to
 * change what others own unless forced. Algorithm of structured-merge-diff's Updater.Apply and apimachinery's util/managedfields.
 */
import { type JsonObject, jsonEqual } from "#apimachinery/json.ts";
import type { KubeObject, ManagedFieldsEntry, ObjectMeta } from "#apimachinery/meta.ts";
import type { StructSchema } from "#apimachinery/schema.ts";
import { badRequest, StatusError } from "#apimachinery/status-error.ts";
import { takeAtOnce } from "#apimachinery/steps.ts";
import { formatTime } from "#apimachinery/time.ts";
import { applyConflict, type Conflict } from "./conflicts.ts";
import {
  difference,
  emptySet,
  fieldPaths,
  type FieldSet,
  hasField,
  intersection,
  isEmptySet,
  leaf,
  recursiveDifference,
  union,
  withNamedParents,
} from "./field-set.ts";
import { allowedByLastApplied, withLastApplied } from "./last-applied.ts";
import {
  decodeManagers,
  encodeManagers,
  ManagedFieldsError,
  type Manager,
  managerKey,
  type Managers,
} from "./managers.ts";
import { compareObjects, serverMetadata } from "./typed-compare.ts";
import { mergeObjects } from "./typed-merge.ts";
import { removeFields } from "./typed-remove.ts";
import { fieldSetOf } from "./typed-set.ts";
import { problemText, typeProblems } from "./typed-validate.ts";
import { filterComparison, trackUpdate, withoutChanged } from "./update-managed-fields.ts";

/** One apply. */
export type ServerSideApply = {
  /** The stored object; undefined when the apply creates it. */
  readonly live: KubeObject | undefined;
  /** What the client sent: only the fields that it wants. */
  readonly applied: KubeObject;
  /** The fieldManager option; never empty. */
  readonly manager: string;
  /** Takes over fields of others instead of refusing. */
  readonly force: boolean;
  /** Version of the endpoint. */
  readonly apiVersion: string;
  readonly kind: string;
  /** "" for the main resource. */
  readonly subresource: string;
  /** Ms since 1970. */
  readonly now: number;
  readonly schema: StructSchema;
  /** Fields that this endpoint ignores. */
  readonly resetFields?: FieldSet;
};

/** What an apply comes to. */
export type ApplyResult = {
  /** The merged object with its managedFields; defaults are yet to be filled in. */
  readonly object: KubeObject;
  /** True when nothing but managedFields may have changed. */
  readonly isUnchanged: boolean;
};

/** Applies. Throws StatusError: 400 for a wrong version or kind, 409 for conflicts, 500 as upstream for what does not fit the schema. */
export function applyServerSide(apply: ServerSideApply): ApplyResult {
  return takeAtOnce(applyServerSideSteps(apply));
}

/** {@link applyServerSide} in steps, for large objects: of each walk one. */
export function* applyServerSideSteps(apply: ServerSideApply): Generator<void, ApplyResult> {
  checkRequest(apply);
  yield;
  const managers = yield* startingManagers(apply, readManagers(apply.live));
  yield;
  const result = yield* withLastAppliedConflicts(apply, managers);
  yield;
  const object = withLastApplied(result.object, apply);
  const entries = encodeManagers(result.managers, apply.live?.metadata?.managedFields);
  return { object: withManagedFields(object, entries), isUnchanged: result.isUnchanged };
}

type Merged = { readonly object: KubeObject; readonly managers: Managers; readonly isUnchanged: boolean };

class ConflictsError extends Error {
  readonly kind = "ConflictsError";
  readonly conflicts: readonly Conflict[];

  constructor(conflicts: readonly Conflict[]) {
    super("conflicts");
    this.conflicts = conflicts;
  }
}

function checkRequest({ applied, apiVersion, kind, schema }: ServerSideApply): void {
  if (applied.apiVersion !== apiVersion || applied.kind !== kind) {
    const given = `${applied.apiVersion ?? ""}, Kind=${applied.kind ?? ""}`;
    throw badRequest(`invalid object type: ${given}`);
  }
  const entries = applied.metadata?.managedFields;
  if (entries !== undefined && entries !== null) throw badRequest("metadata.managedFields must be nil");
  const problems = typeProblems(applied as JsonObject, schema);
  if (problems.length > 0) {
    throw plainError(`failed to create typed patch object (${nameOf(applied)}): ${problemText(problems)}`);
  }
}

function readManagers(live: KubeObject | undefined): Managers {
  try {
    return decodeManagers(live?.metadata?.managedFields);
  } catch (error) {
    if (!(error instanceof ManagedFieldsError)) throw error;
    throw plainError(`failed to decode managed fields: ${error.message}`);
  }
}

/** What is there before the first apply belongs to "before-first-apply". */
function* startingManagers(apply: ServerSideApply, managers: Managers): Generator<void, Managers> {
  if (managers.size > 0 || apply.live === undefined) return managers;
  const { live, apiVersion, subresource, now, schema } = apply;
  const update = { live: undefined, next: live, manager: "before-first-apply", apiVersion, subresource, now, schema };
  return yield* trackUpdate(
    apply.resetFields === undefined ? update : { ...update, resetFields: apply.resetFields },
    managers,
  );
}

/** kubectl may take over what it set by client-side apply and nobody changed since. */
function* withLastAppliedConflicts(apply: ServerSideApply, managers: Managers): Generator<void, Merged> {
  try {
    return yield* merged(apply, managers, apply.force);
  } catch (error) {
    if (!(error instanceof ConflictsError)) throw error;
    const allowed = apply.manager === "kubectl" ? allowedByLastApplied(apply.live, apply) : undefined;
    if (allowed === undefined) throw applyConflict(error.conflicts);
    const conflicts = error.conflicts.filter((conflict) => !hasField(allowed, conflict.path));
    if (conflicts.length > 0) throw applyConflict(conflicts);
    return yield* merged(apply, managers, true);
  }
}

function* merged(apply: ServerSideApply, before: Managers, force: boolean): Generator<void, Merged> {
  const live = (apply.live ?? { apiVersion: apply.apiVersion, kind: apply.kind }) as JsonObject;
  const self = selfOf(apply, before);
  yield;
  const managers = new Map(before).set(self.key, self.manager);
  const merging = mergeObjects(live, apply.applied as JsonObject, apply.schema);
  yield;
  const object = yield* prune(merging, managers, self.previous, self.manager.set, apply.schema);
  yield;
  const comparison = filterComparison(compareObjects(live, object, apply.schema), apply.resetFields);
  yield;
  if (!force) refuseConflicts(managers, self.key, union(comparison.modified, comparison.added));
  const after = new Map(yield* withoutChanged(managers, comparison, self.key));
  yield;
  if (isEmptySet(self.manager.set)) after.delete(self.key);
  const isUnchanged = apply.live !== undefined && jsonEqual(live, object);
  return {
    object: (isUnchanged ? live : object) as KubeObject,
    managers: stamped(after, self, isUnchanged, apply.now),
    isUnchanged,
  };
}

type Self = { readonly key: string; readonly manager: Manager; readonly previous: Manager | undefined };

function selfOf(apply: ServerSideApply, managers: Managers): Self {
  const { manager: name, apiVersion, subresource, resetFields, schema } = apply;
  const identity = { name, operation: "Apply", apiVersion, subresource } as const;
  const key = managerKey(identity);
  const previous = managers.get(key);
  const whole = withoutServerFields(fieldSetOf(apply.applied as JsonObject, schema));
  const set = resetFields === undefined ? whole : recursiveDifference(whole, resetFields);
  return { key, previous, manager: { ...identity, set, time: previous?.time } };
}

/** The applier's entry gets the time when the object changed. Who comes to own what was so already has none, as upstream. */
function stamped(managers: ReadonlyMap<string, Manager>, self: Self, isUnchanged: boolean, now: number): Managers {
  const mine = managers.get(self.key);
  if (mine === undefined || isUnchanged) return managers;
  return new Map(managers).set(self.key, { ...mine, time: formatTime(now) });
}

function refuseConflicts(managers: Managers, selfKey: string, changed: FieldSet): void {
  const conflicts: Conflict[] = [];
  for (const [key, manager] of managers) {
    if (key === selfKey) continue;
    for (const path of fieldPaths(intersection(manager.set, changed))) conflicts.push({ manager, path });
  }
  if (conflicts.length > 0) throw new ConflictsError(conflicts);
}

/** Takes away what this manager applied last time, does not apply now, and nobody else owns. */
function* prune(
  object: JsonObject,
  managers: Managers,
  previous: Manager | undefined,
  wanted: FieldSet,
  schema: StructSchema,
): Generator<void, JsonObject> {
  if (previous === undefined || isEmptySet(difference(previous.set, wanted))) return object;
  const last = withNamedParents(previous.set, schema);
  yield;
  const all = withNamedParents(fieldSetOf(object, schema), schema);
  yield;
  const owned = [...managers.values()].reduce<FieldSet>((sum, manager) => union(sum, manager.set), emptySet);
  yield;
  const bare = setOfRest(removeFields(object, last, schema), schema);
  yield;
  const unowned = difference(all, union(bare, withNamedParents(owned, schema)));
  yield;
  const rest = setOfRest(removeFields(object, unowned, schema), schema);
  yield;
  // Only what this manager owned may go: what nobody owns below it stays.
  return removeFields(object, intersection(difference(all, rest), last), schema);
}

function setOfRest(object: JsonObject, schema: StructSchema): FieldSet {
  return withNamedParents(fieldSetOf(object, schema), schema);
}

function withoutServerFields(set: FieldSet): FieldSet {
  return difference(set, serverFields);
}

const serverFields: FieldSet = {
  "f:apiVersion": leaf,
  "f:kind": leaf,
  "f:metadata": {
    ".": leaf,
    ...Object.fromEntries([...serverMetadata].map((name) => [`f:${name}`, leaf])),
  },
};

function withManagedFields(object: KubeObject, entries: readonly ManagedFieldsEntry[] | undefined): KubeObject {
  const { managedFields: _, ...metadata }: ObjectMeta = object.metadata ?? {};
  return { ...object, metadata: entries === undefined ? metadata : { ...metadata, managedFields: entries } };
}

function nameOf(object: KubeObject): string {
  const { namespace = "", name = "" } = object.metadata ?? {};
  return `${namespace}/${name}; ${object.apiVersion}, Kind=${object.kind}`;
}

function plainError(message: string): StatusError {
  return new StatusError({ reason: "Unknown", code: 500, message });
}
