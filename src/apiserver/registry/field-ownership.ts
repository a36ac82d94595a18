/**
 * managedFields: who owns which field, kept on each write as upstream's field manager does. The computation itself is apimachinery's; this is where the registry calls it.
 */
import type { FieldSet } from "#apimachinery/managed-fields/field-set.ts";
import { managerName } from "#apimachinery/managed-fields/managers.ts";
import { updateManagedFields } from "#apimachinery/managed-fields/update-managed-fields.ts";
import type { KubeObject, ManagedFieldsEntry } from "#apimachinery/meta.ts";
import type { RequestContext } from "#apiserver/api-request.ts";
import type { Draft } from "#api/strategy.ts";
import { metadataOf } from "./object-meta.ts";
import type { Registry } from "./registry.ts";
import type { ServedResource } from "./served-resource.ts";

/** The manager's name when a request names none: the user agent up to its first slash. */
export function managerOf(context: RequestContext, fieldManager: string): string {
  const agent = context.request.headers["user-agent"];
  return managerName(fieldManager, typeof agent === "string" ? agent : "");
}

/** Records the creator of a new object. */
export function ownNewObject(
  registry: Registry,
  create: {
    readonly resource: ServedResource;
    readonly draft: Draft;
    readonly context: RequestContext;
    readonly options: { readonly fieldManager: string };
  },
): void {
  const manager = managerOf(create.context, create.options.fieldManager);
  own(registry, { ...create, old: undefined, manager, subresource: "" });
}

/** Records who changed what. `draft` is the new state. */
export function ownUpdate(
  registry: Registry,
  update: {
    readonly resource: ServedResource;
    readonly draft: Draft;
    readonly old: KubeObject;
    readonly manager: string;
    readonly subresource: string;
  },
): void {
  own(registry, update);
}

/** What an endpoint ignores of an object, so that nobody comes to own it there: the status in the main one, the rest in that of the status. */
export function resetFieldsOf(resource: ServedResource, subresource: string): FieldSet {
  const hasStatus = resource.strategy.hasStatus ?? resource.subresources.has("status");
  if (subresource === "") return hasStatus ? mainResetFields : noFields;
  return subresource === "status" ? statusResetFields : noFields;
}

const noFields: FieldSet = {};
const mainResetFields: FieldSet = { "f:status": {} };
const statusResetFields: FieldSet = {
  "f:spec": {},
  "f:metadata": { "f:deletionTimestamp": {}, "f:ownerReferences": {}, "f:finalizers": {} },
};

function own(
  registry: Registry,
  write: {
    readonly resource: ServedResource;
    readonly draft: Draft;
    readonly old: KubeObject | undefined;
    readonly manager: string;
    readonly subresource: string;
  },
): void {
  const { resource, draft, old, manager, subresource } = write;
  if (resource.schema === undefined) return;
  const entries = updateManagedFields({
    live: old,
    next: draft as KubeObject,
    manager,
    apiVersion: resource.apiVersion,
    subresource,
    now: registry.parts.clock.now(),
    schema: resource.schema,
    resetFields: resetFieldsOf(resource, subresource),
  });
  setManagedFields(draft, entries);
}

function setManagedFields(draft: Draft, entries: readonly ManagedFieldsEntry[] | undefined): void {
  const metadata = metadataOf(draft);
  if (entries === undefined) delete metadata["managedFields"];
  else metadata["managedFields"] = entries;
}
