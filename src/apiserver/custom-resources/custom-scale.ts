/**
 * The scale subresource of a custom resource: a Scale made of the fields that the definition names, and written back to them.
 */
import { isJsonObject, type JsonObject, jsonEqual } from "#apimachinery/json.ts";
import { applyServerSide } from "#apimachinery/managed-fields/apply-server-side.ts";
import { managedFieldsOfParent, managedFieldsOfScale, type ReplicasPaths } from "#apimachinery/managed-fields/scale.ts";
import { updateManagedFields } from "#apimachinery/managed-fields/update-managed-fields.ts";
import type { KubeObject, ManagedFieldsEntry } from "#apimachinery/meta.ts";
import { applyJsonPatch } from "#apimachinery/patch/json-patch.ts";
import { applyMergePatch } from "#apimachinery/patch/merge-patch.ts";
import { type FieldError, invalid, invalidObject } from "#apimachinery/field-error.ts";
import { badRequest, conflict, internalError, notFound } from "#apimachinery/status-error.ts";
import type { StructSchema } from "#apimachinery/schema.ts";
import type { Draft } from "#api/strategy.ts";
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { type HandlerParts, readValue } from "#apiserver/handlers/handler-parts.ts";
import { parseWriteOptions, type WriteOptions } from "#apiserver/handlers/write-options.ts";
import { mediaTypeOf } from "#apiserver/negotiation/decode-body.ts";
import { subjectOf } from "#apiserver/registry/errors.ts";
import { managerOf } from "#apiserver/registry/field-ownership.ts";
import type { Registry } from "#apiserver/registry/registry.ts";
import type { ScalePaths, ServedResource } from "#apiserver/registry/served-resource.ts";
import { served, updateObject } from "#apiserver/registry/update.ts";
import { namesOf, valueAt, withValueAt } from "./simple-path.ts";

/** autoscaling/v1 Scale. */
type Scale = KubeObject & {
  readonly spec: { readonly replicas?: number };
  readonly status: { readonly replicas: number; readonly selector?: string };
};

/** Serves get, update and patch of `…/scale`. */
export async function handleCustomScale(
  parts: HandlerParts,
  resource: ServedResource,
  context: RequestContext,
): Promise<ApiResult> {
  const { verb, namespace, name } = context.info;
  if (verb === "update" || verb === "patch") return write(parts, resource, context);
  const stored = await parts.registry.storageOf(resource).find(namespace, name);
  if (stored === undefined) throw notFound(subjectOf(resource, name));
  return { type: "object", status: 200, object: scaleOf(resource, await served(resource, stored)) };
}

async function write(parts: HandlerParts, resource: ServedResource, context: RequestContext): Promise<ApiResult> {
  const { registry } = parts;
  const { namespace, name, verb } = context.info;
  const contentType = context.request.headers["content-type"];
  const mediaType = verb === "update" ? "" : mediaTypeOf(typeof contentType === "string" ? contentType : "");
  const isApply = mediaType === "application/apply-patch+yaml";
  const kind = verb === "update" ? "UpdateOptions" : isApply ? "ApplyOptions" : "PatchOptions";
  const options = parseWriteOptions(context.request.query, kind);
  const body = await readValue(parts, context);
  const output = await updateObject(registry, {
    resource,
    namespace,
    name,
    subresource: "scale",
    change: (old) => {
      if (old === undefined) throw notFound(subjectOf(resource, name));
      return changedParent({ registry, resource, context, options, body, mediaType }, old);
    },
    createsWhenAbsent: false,
    options,
    context,
    isOwned: true,
    // Only the replicas change; the whole object must stay valid.
    rules: {
      prepare: (draft, old) => countChange(draft, old),
      validate: (object, old) => resource.strategy.validateUpdate?.(object, old) ?? [],
    },
  });
  return { type: "object", status: 200, object: scaleOf(resource, await served(resource, output.object)) };
}

function countChange(draft: Draft, old: KubeObject): void {
  const before = (old as JsonObject)["spec"];
  if (!jsonEqual(draft["spec"], before)) draft["metadata"].generation = (old.metadata?.generation ?? 0) + 1;
}

/** The parent with the replicas that the request asks for. */
function changedParent(write: ScaleWrite, parent: KubeObject): Draft {
  const { resource, context } = write;
  const next = changedScale(write, scaleOf(resource, parent));
  checkScale(next, context.info.name);
  const { resourceVersion } = next.metadata ?? {};
  if (resourceVersion && resourceVersion !== parent.metadata?.resourceVersion) {
    const why = "the object has been modified; please apply your changes to the latest version and try again";
    throw conflict(subjectOf(resource, context.info.name), why);
  }
  const entries = managedFieldsOfParent(parent.metadata?.managedFields, next.metadata?.managedFields, {
    paths: replicasPaths(resource),
    apiVersion: resource.apiVersion,
  });
  const { specReplicasPath } = pathsOf(resource);
  const scaled = withValueAt(parent as JsonObject, specReplicasPath, next.spec?.replicas ?? 0);
  const changed = structuredClone(scaled) as Draft;
  changed["metadata"] = { ...changed["metadata"], ...(entries === undefined ? {} : { managedFields: entries }) };
  return changed;
}

function scaleOf(resource: ServedResource, object: KubeObject): Scale {
  const { specReplicasPath, statusReplicasPath, labelSelectorPath, selectorOf } = pathsOf(resource);
  const json = object as JsonObject;
  const replicas = valueAt(json, specReplicasPath);
  const selector = selectorOf?.(object) ?? (labelSelectorPath ? valueAt(json, labelSelectorPath) : undefined);
  if (replicas !== undefined && typeof replicas !== "number") {
    throw internalError(new Error(`the value of ${specReplicasPath} is no number`));
  }
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata ?? {};
  const entries = managedFieldsOfScale(object.metadata?.managedFields, replicasPaths(resource));
  const metadata = { name, namespace, uid, resourceVersion, creationTimestamp, managedFields: entries };
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: Object.fromEntries(Object.entries(metadata).filter(([, value]) => value !== undefined)),
    spec: replicas === undefined || replicas === 0 ? {} : { replicas },
    status: {
      replicas: Number(valueAt(json, statusReplicasPath) ?? 0),
      ...(typeof selector === "string" && selector !== "" ? { selector } : {}),
    },
  };
}

function replicasPaths(resource: ServedResource): ReplicasPaths {
  return { [resource.apiVersion]: namesOf(pathsOf(resource).specReplicasPath).map((name) => `f:${name}`) };
}

function pathsOf(resource: ServedResource): ScalePaths {
  if (resource.scale === undefined) throw new Error(`${resource.resource} has no scale`);
  return resource.scale;
}

type ScaleWrite = {
  readonly registry: Registry;
  readonly resource: ServedResource;
  readonly context: RequestContext;
  readonly options: WriteOptions;
  readonly body: unknown;
  /** "" for an update. */
  readonly mediaType: string;
};

/** The Scale after the request, with its managedFields. */
function changedScale(write: ScaleWrite, live: Scale): Scale {
  const { registry, context, options, body, mediaType } = write;
  const schema = registry.parts.kindFacts.schemaOf("autoscaling", "v1", "Scale") as StructSchema;
  const now = registry.parts.clock.now();
  if (mediaType === "application/apply-patch+yaml") {
    if (!isJsonObject(body)) throw badRequest("error decoding YAML: json: cannot unmarshal into Go value of type map");
    const { object } = applyServerSide({
      live,
      applied: body as KubeObject,
      manager: options.fieldManager,
      force: options.force,
      apiVersion: "autoscaling/v1",
      kind: "Scale",
      subresource: "scale",
      now,
      schema,
    });
    return object as Scale;
  }
  const next = { ...(patched(mediaType, live, body) as Scale) };
  const managedFields: readonly ManagedFieldsEntry[] | undefined = updateManagedFields({
    live,
    next,
    manager: managerOf(context, options.fieldManager),
    apiVersion: "autoscaling/v1",
    subresource: "scale",
    now,
    schema,
  });
  const { managedFields: _, ...metadata } = next.metadata ?? {};
  return { ...next, metadata: managedFields === undefined ? metadata : { ...metadata, managedFields } };
}

function patched(mediaType: string, live: Scale, body: unknown): JsonObject {
  switch (mediaType) {
    case "":
      if (isJsonObject(body)) return body;
      throw badRequest("the object provided is unrecognized (must be of type Scale)");
    case "application/json-patch+json":
      return applyJsonPatch(live as JsonObject, body);
    default:
      return applyMergePatch(live as JsonObject, body);
  }
}

function checkScale(scale: Scale, name: string): void {
  const replicas = scale.spec?.replicas ?? 0;
  const errors: FieldError[] = [];
  if (typeof replicas !== "number" || !Number.isInteger(replicas)) {
    throw badRequest("json: cannot unmarshal into Go struct field ScaleSpec.spec.replicas of type int32");
  }
  if (replicas < 0) errors.push(invalid("spec.replicas", replicas, "must be greater than or equal to 0"));
  const given = scale.metadata?.name ?? "";
  if (given !== name) {
    throw badRequest(`the name of the object (${given}) does not match the name on the URL (${name})`);
  }
  if (errors.length > 0) throw invalidObject({ group: "autoscaling", kind: "Scale", name }, errors);
}
