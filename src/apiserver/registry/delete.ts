/**
 * Deletes objects: at once, or by marking them while a grace period or finalizers hold them. Upstream's registry.Store.Delete and rest.BeforeDelete in one loop.
 */
import type { KubeObject, ObjectMeta } from "#apimachinery/meta.ts";
import { conflict, notFound } from "#apimachinery/status-error.ts";
import type { Draft } from "#api/strategy.ts";
import type { RequestContext } from "#apiserver/api-request.ts";
import type { DeleteOptions } from "#apiserver/handlers/delete-options.ts";
import { WriteConflict } from "#apiserver/storage/object-storage.ts";
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import { type AdmissionWrite, mutate, validate } from "./admission-chain.ts";
import { unstored } from "./create.ts";
import { subjectOf } from "./errors.ts";
import { formatTime } from "./object-meta.ts";
import type { Registry } from "./registry.ts";
import type { ServedResource } from "./served-resource.ts";
import { served } from "./update.ts";

const ORPHAN = "orphan";
const FOREGROUND = "foregroundDeletion";

/** One delete. */
export type DeleteInput = {
  readonly resource: ServedResource;
  readonly namespace: string;
  readonly name: string;
  readonly options: DeleteOptions;
  readonly context: RequestContext;
};

/** What a delete gave: the last state of an object that is gone, or the state of one that waits. */
export type DeleteOutput = { readonly object: StoredObject; readonly isGone: boolean };

/** Deletes an object. Throws NotFound, Conflict and what admission says. */
export async function deleteObject(registry: Registry, input: DeleteInput): Promise<DeleteOutput> {
  const { resource, namespace, name, options, context } = input;
  const storage = registry.storageOf(resource);
  let existing = await storage.find(namespace, name);
  for (;;) {
    if (existing === undefined) throw notFound(subjectOf(resource, name));
    checkPreconditions(input, existing);
    const write: AdmissionWrite = {
      context,
      resource,
      table: registry.parts.table,
      operation: "DELETE",
      dryRun: options.dryRun,
      options,
    };
    const oldObject = await served(resource, existing);
    await mutate(registry.parts.admission, write, { object: undefined, oldObject });
    await validate(registry.parts.admission, write, { object: undefined, oldObject });
    try {
      return await deleteOnce(registry, input, existing);
    } catch (error) {
      if (!(error instanceof WriteConflict)) throw error;
      existing = error.current;
    }
  }
}

async function deleteOnce(registry: Registry, input: DeleteInput, existing: StoredObject): Promise<DeleteOutput> {
  const { resource, options } = input;
  const step = nextStep(input, existing.object, registry.parts.clock.now());
  const storage = registry.storageOf(resource);
  if (step.type === "wait") return { object: existing, isGone: false };
  if (step.type === "mark") {
    const object = step.object;
    if (options.dryRun) return { object: unstored(resource, object, existing.key), isGone: false };
    return { object: await storage.update(existing, object), isGone: false };
  }
  if (options.dryRun) return { object: existing, isGone: true };
  const hook = registry.parts.hooks.get(resource.stored.groupResource);
  const object = await storage.delete(existing, hook?.beforeDelete?.(existing.object));
  hook?.afterDelete?.(existing.object);
  return { object, isGone: true };
}

function checkPreconditions(input: DeleteInput, existing: StoredObject): void {
  const { uid, resourceVersion } = input.options.preconditions;
  const metadata = existing.object.metadata ?? {};
  const subject = { group: input.resource.group, resource: input.resource.kind, name: input.name };
  if (uid !== undefined && uid !== metadata.uid) {
    const why = `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`;
    throw conflict(subject, why);
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    const why = `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`;
    throw conflict(subject, why);
  }
}

type Step =
  | { readonly type: "remove" }
  /** Deletion is under way already and this request changes nothing. */
  | { readonly type: "wait" }
  | { readonly type: "mark"; readonly object: KubeObject };

function nextStep(input: DeleteInput, object: KubeObject, nowMs: number): Step {
  if (isNamespace(input.resource)) return namespaceStep(input, object, nowMs);
  const metadata = object.metadata as ObjectMeta;
  const grace = gracePeriod(input, object);
  const period = metadata.deletionGracePeriodSeconds;
  if (metadata.deletionTimestamp !== undefined && period !== undefined && period > 0) {
    const asked = input.options.gracePeriodSeconds;
    if (grace === undefined || asked === undefined || asked >= period) return { type: "wait" };
    return shortened(input, object, { period, asked, nowMs });
  }
  const finalizers = finalizersFor(input, metadata);
  if (metadata.deletionTimestamp === undefined && grace !== undefined && grace > 0) {
    return { type: "mark", object: marked(object, { finalizers, grace, deletionMs: nowMs + grace * 1000 }) };
  }
  if (finalizers.length === 0) return { type: "remove" };
  const isMarked = metadata.deletionTimestamp !== undefined && period === 0;
  if (isMarked && sameItems(finalizers, metadata.finalizers ?? [])) return { type: "wait" };
  return { type: "mark", object: marked(object, { finalizers, grace: 0, deletionMs: nowMs }) };
}

// Only a shorter grace period counts once a deletion is under way; the deadline moves forward with it, but never into the past.
function shortened(
  input: DeleteInput,
  object: KubeObject,
  change: { readonly period: number; readonly asked: number; readonly nowMs: number },
): Step {
  const metadata = object.metadata as ObjectMeta;
  const { period, asked, nowMs } = change;
  const finalizers = finalizersFor(input, metadata);
  if (asked === 0 && finalizers.length === 0) return { type: "remove" };
  const deadlineMs = Date.parse(metadata.deletionTimestamp as string) - period * 1000 + asked * 1000;
  const isPast = deadlineMs < nowMs;
  const grace = isPast && asked !== 0 ? 1 : asked;
  return {
    type: "mark",
    object: marked(object, { finalizers, grace, deletionMs: Math.max(deadlineMs, nowMs), isAgain: true }),
  };
}

function marked(
  object: KubeObject,
  mark: {
    readonly finalizers: readonly string[];
    readonly grace: number;
    readonly deletionMs: number;
    readonly isAgain?: boolean;
  },
): KubeObject {
  const metadata: Draft = { ...object.metadata };
  const isFirst = metadata["deletionTimestamp"] === undefined;
  if (isFirst || mark.isAgain === true || Date.parse(metadata["deletionTimestamp"] as string) > mark.deletionMs) {
    metadata["deletionTimestamp"] = formatTime(mark.deletionMs);
  }
  if (isFirst && metadata["generation"] > 0) metadata["generation"]++;
  metadata["deletionGracePeriodSeconds"] = mark.grace;
  if (mark.finalizers.length > 0) metadata["finalizers"] = mark.finalizers;
  else delete metadata["finalizers"];
  return { ...object, metadata };
}

function gracePeriod(input: DeleteInput, object: KubeObject): number | undefined {
  return input.resource.strategy.deletionGracePeriodSeconds?.(object, input.options.gracePeriodSeconds);
}

function finalizersFor(input: DeleteInput, metadata: ObjectMeta): readonly string[] {
  const finalizers = propagationFinalizers(input, metadata);
  // Who deletes for the second time finds what the first time added, or that it is done.
  if (metadata.deletionTimestamp !== undefined) return finalizers;
  const added = (input.resource.strategy.deletionFinalizers ?? []).filter((each) => !finalizers.includes(each));
  return added.length === 0 ? finalizers : [...finalizers, ...added];
}

// The garbage collector's two finalizers follow the propagation policy; explicit options win over what the object says, that over the kind's default.
function propagationFinalizers(input: DeleteInput, metadata: ObjectMeta): readonly string[] {
  const { orphanDependents, propagationPolicy } = input.options;
  const there = metadata.finalizers ?? [];
  const rest = there.filter((finalizer) => finalizer !== ORPHAN && finalizer !== FOREGROUND);
  const given = there.find((finalizer) => finalizer === ORPHAN || finalizer === FOREGROUND);
  if (orphanDependents !== undefined) return orphanDependents ? [...rest, ORPHAN] : rest;
  if (propagationPolicy === "Orphan") return [...rest, ORPHAN];
  if (propagationPolicy === "Foreground") return [...rest, FOREGROUND];
  if (propagationPolicy === "Background") return rest;
  if (given !== undefined) return [...rest, given];
  return input.resource.strategy.defaultGarbageCollection === "orphan" ? [...rest, ORPHAN] : rest;
}

function isNamespace(resource: ServedResource): boolean {
  return resource.group === "" && resource.resource === "namespaces";
}

// A namespace is marked and its phase set; the namespace controller empties it and takes the finalizer out of its spec.
function namespaceStep(input: DeleteInput, object: KubeObject, nowMs: number): Step {
  const metadata = object.metadata as ObjectMeta;
  const { spec, status } = object as KubeObject & { spec?: { finalizers?: readonly string[] }; status?: object };
  const isWaiting = (spec?.finalizers?.length ?? 0) > 0;
  if (metadata.deletionTimestamp !== undefined) {
    if (isWaiting || (metadata.finalizers?.length ?? 0) > 0) return { type: "wait" };
    return { type: "remove" };
  }
  const finalizers = finalizersFor(input, metadata);
  if (!isWaiting && finalizers.length === 0) return { type: "remove" };
  const { deletionGracePeriodSeconds: _none, ...meta } = marked(object, { finalizers, grace: 0, deletionMs: nowMs })
    .metadata as ObjectMeta;
  return {
    type: "mark",
    object: { ...object, metadata: meta, status: { ...status, phase: "Terminating" } } as KubeObject,
  };
}

function sameItems(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item) => b.includes(item));
}
