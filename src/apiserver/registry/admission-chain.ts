/**
 * Runs the admission plugins over a write, in the order of their table: all mutating ones, later all validating ones.
 */
import type { JsonObject } from "#apimachinery/json.ts";
import { mergeObjects } from "#apimachinery/managed-fields/typed-merge.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { RequestContext } from "#apiserver/api-request.ts";
import { conform, equivalentWrites } from "./equivalent-writes.ts";
import type { ResourceTable, ServedResource } from "./served-resource.ts";

/** What is the same for both passes of one write. */
export type AdmissionWrite = {
  readonly context: RequestContext;
  readonly resource: ServedResource;
  /** Where other versions of the resource are found; absent for what is never stored. */
  readonly table?: ResourceTable;
  readonly operation: AdmissionAttributes["operation"];
  readonly dryRun: boolean;
  readonly options: unknown;
};

/** Gives the object as the mutating plugins leave it. */
export async function mutate(
  plugins: readonly AdmissionPlugin[],
  write: AdmissionWrite,
  objects: { readonly object: KubeObject | undefined; readonly oldObject: KubeObject | undefined },
): Promise<KubeObject | undefined> {
  const { oldObject } = objects;
  let { object } = objects;
  // Made anew only when the object has become another: most plugins have nothing to do.
  let attributes: AdmissionAttributes | undefined;
  for (const plugin of plugins) {
    if (plugin.mutate === undefined) continue;
    attributes ??= attributesOf(write, { object, oldObject });
    if (!plugin.handles(attributes)) continue;
    const changed = await plugin.mutate(attributes);
    if (changed === undefined || changed === object) continue;
    object = changed;
    attributes = undefined;
  }
  return object;
}

/** Throws when a validating plugin refuses. */
export async function validate(
  plugins: readonly AdmissionPlugin[],
  write: AdmissionWrite,
  objects: { readonly object: KubeObject | undefined; readonly oldObject: KubeObject | undefined },
): Promise<void> {
  let attributes: AdmissionAttributes | undefined;
  for (const plugin of plugins) {
    if (plugin.validate === undefined) continue;
    attributes ??= attributesOf(write, objects);
    if (plugin.handles(attributes)) await plugin.validate(attributes);
  }
}

function attributesOf(
  write: AdmissionWrite,
  objects: { readonly object: KubeObject | undefined; readonly oldObject: KubeObject | undefined },
): AdmissionAttributes {
  const { context, resource, table } = write;
  return {
    request: context.info,
    operation: write.operation,
    user: context.user,
    dryRun: write.dryRun,
    kind: { group: resource.group, version: resource.facts.version, kind: resource.kind },
    options: write.options,
    warn: (text) => void context.warnings.push(text),
    conform: (object) => conform(resource, object),
    merge: (object, applied) => merge(resource, object, applied),
    ...(table === undefined ? {} : { equivalents: () => equivalentWrites(table, resource, context.info) }),
    ...objects,
  };
}

function merge({ schema }: ServedResource, object: KubeObject, applied: KubeObject): KubeObject {
  if (schema === undefined) return { ...object, ...applied };
  return mergeObjects(object as JsonObject, applied as JsonObject, schema) as KubeObject;
}
