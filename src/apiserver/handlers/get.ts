/**
 * GET of one object: from the watch cache, as stored.
 */
import { notFound } from "#apimachinery/status-error.ts";
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { subjectOf } from "#apiserver/registry/errors.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import { parseRevision } from "#apiserver/registry/read.ts";
import type { HandlerParts } from "./handler-parts.ts";

export async function handleGet(
  parts: HandlerParts,
  resource: ServedResource,
  context: RequestContext,
): Promise<ApiResult> {
  const { namespace, name } = context.info;
  const { query } = context.request;
  // Every read is as new as the newest write; a resourceVersion can only ask for less.
  if (!query.isEmpty) parseRevision(query.get("resourceVersion") ?? "");
  const object = await parts.registry.storageOf(resource).find(namespace, name);
  if (object === undefined) throw notFound(subjectOf(resource, name));
  return { type: "stored", status: 200, resource, object };
}
