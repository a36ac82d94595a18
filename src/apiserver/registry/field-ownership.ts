/**
 * managedFields: who owns which field, kept on each write as upstream's field manager does. The computation is apimachinery's; this is where the registry calls it.
 */
import type { FieldSet } from "#apimachinery/managed-fields/field-set.ts";
import type { Later } from "#apimachinery/managed-fields/large-collections.ts";
import { managerName } from "#apimachinery/managed-fields/managers.ts";
import {
  type ManagedFieldsUpdate,
  updateManagedFields,
  updateManagedFieldsSteps,
} from "#apimachinery/managed-fields/update-managed-fields.ts";
import type { KubeObject, ManagedFieldsEntry } from "#apimachinery/meta.ts";
import type { StructSchema } from "#apimachinery/schema.ts";
import type { Draft } from "#api/strategy.ts";
import type { RequestContext } from "#apiserver/api-request.ts";
import { metadataOf } from "./object-meta.ts";
import type { ServedResource } from "./served-resource.ts";

/** Who writes, and through which endpoint. */
export type Ownership = {
  readonly resource: ServedResource;
  readonly manager: string;
  /** "" for the main resource. */
  readonly subresource: string;
  readonly nowMs: number;
  /** Takes what is too much for one turn: the draft's managedFields are complete when these steps are done. For new objects only. */
  readonly later?: Later;
};

/** The manager's name: the fieldManager option, else from the user agent. */
export function managerOf(context: RequestContext, fieldManager: string): string {
  const agent = context.request.headers["user-agent"];
  return managerName(fieldManager, typeof agent === "string" ? agent : "");
}

/** Sets the draft's managedFields for what this write changes. `old` is absent for a create. */
export function recordOwnership(draft: Draft, old: KubeObject | undefined, ownership: Ownership): void {
  const { schema } = ownership.resource;
  if (schema !== undefined) setEntries(draft, updateManagedFields(updateOf(draft, old, { ...ownership, schema })));
}

/** {@link recordOwnership} in steps, for large objects. */
export function* recordOwnershipSteps(
  draft: Draft,
  old: KubeObject | undefined,
  ownership: Ownership,
): Generator<void, void> {
  const { schema } = ownership.resource;
  if (schema === undefined) return;
  setEntries(draft, yield* updateManagedFieldsSteps(updateOf(draft, old, { ...ownership, schema })));
}

function updateOf(
  draft: Draft,
  old: KubeObject | undefined,
  ownership: Ownership & { readonly schema: StructSchema },
): ManagedFieldsUpdate {
  const { resource, manager, subresource, nowMs, later, schema } = ownership;
  return {
    live: old,
    next: draft as KubeObject,
    manager,
    apiVersion: resource.apiVersion,
    subresource,
    now: nowMs,
    schema,
    resetFields: resetFieldsOf(resource, subresource),
    ...(later === undefined ? {} : { later }),
  };
}

function setEntries(draft: Draft, entries: readonly ManagedFieldsEntry[] | undefined): void {
  const metadata = metadataOf(draft);
  if (entries === undefined) delete metadata["managedFields"];
  else metadata["managedFields"] = entries;
}

const none: FieldSet = {};
const status: FieldSet = { "f:status": {} };
const spec: FieldSet = {
  "f:spec": {},
  "f:metadata": { "f:deletionTimestamp": {}, "f:ownerReferences": {}, "f:finalizers": {} },
};
const customStatus: FieldSet = { "f:spec": {}, "f:metadata": {} };

/** Fields that an endpoint ignores, so that nobody comes to own them by writing to it. */
export function resetFieldsOf(resource: ServedResource, subresource: string): FieldSet {
  if (subresource === "") return hasStatus(resource) ? status : none;
  if (subresource === "status" || subresource === "approval") return resource.isCustom ? customStatus : spec;
  return status;
}

/** True when status is an endpoint of its own. */
export function hasStatus(resource: ServedResource): boolean {
  return resource.strategy.hasStatus ?? resource.subresources.has("status");
}
