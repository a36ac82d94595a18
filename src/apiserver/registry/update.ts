/**
 * Updates objects: read, change, check, write, and again when somebody else was quicker. Serves PUT and PATCH, on the object and on its status. Upstream's registry.Store.Update and
 * rest.BeforeUpdate.
 */
import { isDeepStrictEqual } from "node:util";
import { type FieldError, invalid, invalidObject } from "#apimachinery/field-error.ts";
import { jsonEqual } from "#apimachinery/json.ts";
import type { KubeObject, ObjectMeta } from "#apimachinery/meta.ts";
import { badRequest, conflict, notFound } from "#apimachinery/status-error.ts";
import type { Draft, KindChecks } from "#api/strategy.ts";
import type { WriteOperation } from "#store/store.ts";
import type { RequestContext } from "#apiserver/api-request.ts";
import type { WriteOptions } from "#apiserver/handlers/write-options.ts";
import { WriteConflict } from "#apiserver/storage/object-storage.ts";
import { type StoredObject, toStoredBytes, toStoredBytesSteps } from "#apiserver/storage/stored-object.ts";
import { betweenStages, isLarge } from "#apiserver/turns.ts";
import { type AdmissionWrite, mutate, validate } from "./admission-chain.ts";
import { createObject, hasGeneration, unstored } from "./create.ts";
import { subjectOf } from "./errors.ts";
import { hasStatus, managerOf, recordOwnership, recordOwnershipSteps } from "./field-ownership.ts";
import { metadataRules, validateMetadata, validateMetadataUpdate } from "./metadata-validation.ts";
import { ensureNamespace, metadataOf } from "./object-meta.ts";
import { refuseTooLong } from "./refuse-too-long.ts";
import type { Registry } from "./registry.ts";
import { checksOf, type ServedResource } from "./served-resource.ts";

const MODIFIED = "the object has been modified; please apply your changes to the latest version and try again";
const MAX_ATTEMPTS = 30;

/** One update. */
export type UpdateInput = {
  readonly resource: ServedResource;
  readonly namespace: string;
  readonly name: string;
  /** "", "status", or another subresource that writes the object itself. */
  readonly subresource: string;
  /** Makes the new state, in the served version, with defaults applied. `old` is frozen, in the served version; undefined when there is no object. Called again after a conflict. */
  readonly change: (old: KubeObject | undefined) => Promise<Draft> | Draft;
  /** Set where an absent object is to be created (server-side apply, some kinds' PUT). */
  readonly createsWhenAbsent: boolean;
  readonly options: WriteOptions;
  readonly context: RequestContext;
  /** True when `change` computes managedFields itself (server-side apply). */
  readonly isOwned?: boolean;
  /** Replaces the strategy's preparation and validation for subresources with rules of their own. */
  readonly rules?: UpdateRules;
};

/** What a write of a subresource may change, and when it is valid. */
export type UpdateRules = {
  readonly prepare: (draft: Draft, old: KubeObject) => void;
  readonly validate: (object: KubeObject, old: KubeObject) => readonly FieldError[];
};

/** What an update gave. */
export type UpdateOutput = { readonly object: StoredObject; readonly isCreated: boolean; readonly isDeleted: boolean };

/** Updates an object. Throws NotFound, Conflict, Invalid and what admission says. */
export async function updateObject(registry: Registry, input: UpdateInput): Promise<UpdateOutput> {
  const storage = registry.storageOf(input.resource);
  let existing = await storage.find(input.namespace, input.name);
  for (let attempt = 1; ; attempt++) {
    if (existing === undefined) return await createAbsent(registry, input);
    try {
      return await updateOnce(registry, input, existing);
    } catch (error) {
      if (!(error instanceof WriteConflict)) throw error;
      if (attempt >= MAX_ATTEMPTS) throw conflict(subjectOf(input.resource, input.name), MODIFIED);
      existing = error.isBeside ? existing : error.current;
    }
  }
}

async function createAbsent(registry: Registry, input: UpdateInput): Promise<UpdateOutput> {
  const { resource, name } = input;
  if (!input.createsWhenAbsent) throw notFound(subjectOf(resource, name));
  const draft = await input.change(undefined);
  const metadata = metadataOf(draft);
  if (metadata["uid"]) {
    const why = `Precondition failed: UID in precondition: ${metadata["uid"]}, UID in object meta: `;
    throw conflict(subjectOf(resource, name), why);
  }
  delete metadata["resourceVersion"];
  const { namespace, options, context, isOwned = false } = input;
  const object = await createObject(registry, { resource, namespace, draft, options, context, isOwned });
  return { object, isCreated: true, isDeleted: false };
}

async function updateOnce(registry: Registry, input: UpdateInput, existing: StoredObject): Promise<UpdateOutput> {
  const { resource, options, context } = input;
  const { admission, hooks } = registry.parts;
  // A small change of a large object is as much work.
  if (existing.bytes.length > (context.bodyBytes ?? 0)) context.bodyBytes = existing.bytes.length;
  const old = await served(resource, existing);
  if (isLarge(context)) await betweenStages(context);
  const changed = await input.change(old);
  if (isLarge(context)) await betweenStages(context);
  checkIdentity(input, changed, old);
  ensureNamespace(changed, resource, input.namespace);
  const write: AdmissionWrite = {
    context,
    resource,
    table: registry.parts.table,
    operation: "UPDATE",
    dryRun: options.dryRun,
    options,
  };
  prepare(input, changed, old);
  const loaded = checksOf(resource);
  const checks = loaded instanceof Promise ? await loaded : loaded;
  if (isLarge(context)) {
    refuseTooLong(resource, input.name, findErrors(input, checks, { object: changed, old }));
    await betweenStages(context);
  }
  if (input.isOwned !== true) {
    const manager = managerOf(context, options.fieldManager);
    const nowMs = registry.parts.clock.now();
    const ownership = { resource, manager, subresource: input.subresource, nowMs };
    if (isLarge(context)) await context.takeSteps(recordOwnershipSteps(changed, old, ownership));
    else recordOwnership(changed, old, ownership);
  }
  const draft = (await mutate(admission, write, { object: changed as KubeObject, oldObject: old })) as Draft;
  if (draft !== changed) prepare(input, draft, old);
  const hook = input.subresource === "" ? hooks.get(resource.stored.groupResource) : undefined;
  const reserved = hook?.beforeUpdate?.(draft, old, options);
  const reservation = reserved === undefined ? undefined : await reserved;
  try {
    check(input, checks, { object: draft as KubeObject, old });
    if (isLarge(context)) await betweenStages(context);
    await validate(admission, write, { object: draft as KubeObject, oldObject: old });
    if (isLarge(context)) await betweenStages(context);
    const output = await store(registry, input, { existing, draft, operations: reservation?.operations ?? [] });
    reservation?.commit();
    return output;
  } catch (error) {
    reservation?.release();
    throw error;
  }
}

// Preconditions that the object itself states: its uid and its resourceVersion.
function checkIdentity(input: UpdateInput, draft: Draft, old: KubeObject): void {
  const metadata = metadataOf(draft);
  const subject = subjectOf(input.resource, input.name);
  const { uid, resourceVersion } = metadata as { uid?: string; resourceVersion?: string };
  if (uid && uid !== old.metadata?.uid) {
    throw conflict(
      subject,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata?.uid ?? ""}`,
    );
  }
  if (resourceVersion && resourceVersion !== "0") {
    if (resourceVersion !== old.metadata?.resourceVersion) {
      if (!/^\d+$/.test(resourceVersion))
        throw badRequest(
          `invalid resource version "${resourceVersion}": strconv.ParseUint: parsing "${resourceVersion}": invalid syntax`,
        );
      throw conflict(subject, MODIFIED);
    }
  } else if (input.resource.strategy.allowsUnconditionalUpdate === false) {
    throw invalidObject({ group: input.resource.group, kind: input.resource.kind, name: input.name }, [
      invalid("metadata.resourceVersion", 0, "must be specified for an update"),
    ]);
  }
}

// Restores what this write may not change.
function prepare(input: UpdateInput, draft: Draft, old: KubeObject): void {
  const { resource, subresource } = input;
  const { strategy } = resource;
  const metadata = metadataOf(draft);
  const oldMeta = old.metadata as ObjectMeta;
  metadata["resourceVersion"] = oldMeta.resourceVersion;
  restore(metadata, oldMeta, "generation");
  if (input.rules !== undefined) input.rules.prepare(draft, old);
  else if (subresource === "status") {
    restoreForStatus(draft, old, resource.isCustom);
    strategy.prepareForStatusUpdate?.(draft, old);
  } else {
    if (hasStatus(resource)) restore(draft, old as Draft, "status");
    strategy.prepareForUpdate?.(draft, old);
  }
  metadata["uid"] ??= oldMeta.uid;
  restore(metadata, oldMeta, "creationTimestamp");
  restore(metadata, oldMeta, "deletionTimestamp");
  if (metadata["deletionGracePeriodSeconds"] === undefined || oldMeta.deletionTimestamp === undefined) {
    restore(metadata, oldMeta, "deletionGracePeriodSeconds");
  }
  delete metadata["selfLink"];
  if (subresource !== "status" && hasGeneration(resource) && specChanged(resource, draft, old as Draft)) {
    metadata["generation"] = (oldMeta.generation ?? 0) + 1;
  }
}

// A status write keeps everything else; of custom resources even the metadata.
function restoreForStatus(draft: Draft, old: KubeObject, isCustom: boolean): void {
  const keep = new Set(["status", "metadata", "kind", "apiVersion"]);
  for (const key of Object.keys(draft)) if (!keep.has(key)) delete draft[key];
  for (const [key, value] of Object.entries(old)) if (!keep.has(key)) draft[key] = value;
  if (!isCustom) return;
  const { managedFields } = metadataOf(draft);
  draft["metadata"] = { ...old.metadata, ...(managedFields === undefined ? {} : { managedFields }) };
}

function specChanged(resource: ServedResource, draft: Draft, old: Draft): boolean {
  const ignored = new Set(["metadata", "kind", "apiVersion"]);
  // Custom resources without an endpoint for it count changes of their status, too.
  if (!resource.isCustom || hasStatus(resource)) ignored.add("status");
  for (const key of new Set([...Object.keys(draft), ...Object.keys(old)])) {
    if (!ignored.has(key) && !isDeepStrictEqual(draft[key], old[key])) return true;
  }
  return false;
}

/** What is wrong with the new state. */
function findErrors(
  input: UpdateInput,
  checks: KindChecks,
  states: { readonly object: KubeObject; readonly old: KubeObject },
): readonly FieldError[] {
  const { resource, subresource } = input;
  const { object, old } = states;
  const meta = object.metadata ?? {};
  const errors: FieldError[] = [
    ...validateMetadata(meta, metadataRules(resource)),
    ...validateMetadataUpdate(meta, old.metadata ?? {}),
  ];
  if (input.rules !== undefined) errors.push(...input.rules.validate(object, old));
  else if (subresource === "status") errors.push(...(checks.validateStatusUpdate?.(object, old) ?? []));
  else errors.push(...((checks.validateUpdate ?? checks.validate)?.(object, old) ?? []));
  return errors;
}

function check(
  input: UpdateInput,
  checks: KindChecks,
  states: { readonly object: KubeObject; readonly old: KubeObject },
): void {
  const { resource, subresource, context } = input;
  const { object, old } = states;
  const errors = findErrors(input, checks, states);
  if (errors.length > 0) {
    const name = object.metadata?.name ?? input.name;
    throw invalidObject({ group: resource.group, kind: resource.kind, name }, errors);
  }
  if (subresource === "" && checks.warnings !== undefined) context.warnings.push(...checks.warnings(object, old));
}

async function store(
  registry: Registry,
  input: UpdateInput,
  state: { readonly existing: StoredObject; readonly draft: Draft; readonly operations: readonly WriteOperation[] },
): Promise<UpdateOutput> {
  const { resource, options } = input;
  const { existing } = state;
  const draft = state.draft as KubeObject;
  const object = resource.conversion === undefined ? draft : await resource.conversion.toStored(draft);
  const storage = registry.storageOf(resource);
  if (isFinished(object, existing.object)) {
    if (options.dryRun) return { object: unstored(resource, object, existing.key), isCreated: false, isDeleted: true };
    const hook = registry.parts.hooks.get(resource.stored.groupResource);
    const gone = await storage.delete(existing, hook?.beforeDelete?.(existing.object));
    hook?.afterDelete?.(existing.object);
    return { object: gone, isCreated: false, isDeleted: true };
  }
  const bytes = isLarge(input.context)
    ? await input.context.takeSteps(toStoredBytesSteps(resource.stored, object))
    : toStoredBytes(resource.stored, object);
  // Nothing changed: no write, no new resourceVersion.
  if (bytes.equals(existing.bytes) || isSame(resource, object, existing.object))
    return { object: existing, isCreated: false, isDeleted: false };
  if (options.dryRun) {
    return { object: unstored(resource, object, existing.key, existing.revision), isCreated: false, isDeleted: false };
  }
  return {
    object: await storage.update(existing, object, bytes, state.operations),
    isCreated: false,
    isDeleted: false,
  };
}

/** Fields may stand in another order than they were stored in. */
function isSame(resource: ServedResource, object: KubeObject, existing: KubeObject): boolean {
  // A write that changes nothing brings an object into today's storage version: so all of them are migrated.
  if (existing.apiVersion !== resource.stored.apiVersion) return false;
  return jsonEqual({ ...object, apiVersion: existing.apiVersion }, existing);
}

/** True when an update takes away the last thing that a deleted object waited for. A namespace waits for spec.finalizers, too. */
function isFinished(object: KubeObject, existing: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds } = existing.metadata ?? {};
  if (deletionTimestamp === undefined || (object.metadata?.finalizers?.length ?? 0) > 0) return false;
  const { spec } = object as { readonly spec?: { readonly finalizers?: readonly string[] } };
  if (object.kind === "Namespace" && object.apiVersion === "v1" && (spec?.finalizers?.length ?? 0) > 0) return false;
  return deletionGracePeriodSeconds === undefined || deletionGracePeriodSeconds === 0;
}

/** An object in the version that a request asks for. */
export async function served(resource: ServedResource, stored: StoredObject): Promise<KubeObject> {
  const { object } = stored;
  // Some are in this version already: stored in it, or converted together with others.
  if (resource.apiVersion === object.apiVersion && resource.isCustom) return object;
  if (resource.conversion !== undefined) return (await resource.conversion.fromStored([object]))[0] as KubeObject;
  return resource.apiVersion === object.apiVersion ? object : { ...object, apiVersion: resource.apiVersion };
}

function restore(target: Draft, source: Readonly<Record<string, unknown>>, field: string): void {
  if (source[field] === undefined) delete target[field];
  else target[field] = source[field];
}
