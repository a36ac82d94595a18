/**
 * DELETE of one object: answers with a Status when it is gone, with the object while something holds it.
 */
import type { ApiResult, RequestContext, SuccessStatus } from "#apiserver/api-request.ts";
import { deleteObject } from "#apiserver/registry/delete.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import { parseDeleteOptions } from "./delete-options.ts";
import { type HandlerParts, readValue } from "./handler-parts.ts";

/** Kinds whose deletion answers with the object instead of a Status, as upstream. */
const RETURNS_OBJECT: ReadonlySet<string> = new Set([
  "namespaces",
  "persistentvolumeclaims",
  "persistentvolumes",
  "pods",
  "podtemplates",
  "resourcequotas",
  "serviceaccounts",
  "services",
  ...["csidrivers", "csinodes", "storageclasses", "volumeattachments", "volumeattributesclasses"].map(
    (resource) => `${resource}.storage.k8s.io`,
  ),
  ...["deviceclasses", "devicetaintrules", "resourceclaims", "resourceclaimtemplates", "resourceslices"].map(
    (resource) => `${resource}.resource.k8s.io`,
  ),
]);

export async function handleDelete(
  parts: HandlerParts,
  resource: ServedResource,
  context: RequestContext,
): Promise<ApiResult> {
  const body = await readValue(parts, context);
  const options = parseDeleteOptions(context.request.query, body);
  const { namespace, name } = context.info;
  const { object, isGone } = await deleteObject(parts.registry, { resource, namespace, name, options, context });
  if (isGone && !RETURNS_OBJECT.has(resource.stored.groupResource)) {
    return { type: "status", status: deletedStatus(resource, object) };
  }
  // 202 only for those who asked, in the old way, for dependents to go first.
  const status = !isGone && options.orphanDependents === false ? 202 : 200;
  return { type: "stored", status, resource, object };
}

function deletedStatus(resource: ServedResource, object: StoredObject): SuccessStatus {
  const uid = object.object.metadata?.uid;
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    details: {
      name: object.name,
      ...(resource.group === "" ? {} : { group: resource.group }),
      kind: resource.resource,
      ...(uid === undefined ? {} : { uid }),
    },
  };
}
