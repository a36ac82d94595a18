/**
 * POST to a collection.
 */
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { createObject } from "#apiserver/registry/create.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import type { HandlerParts } from "./handler-parts.ts";
import { readObjectBody } from "./object-body.ts";
import { parseWriteOptions } from "./write-options.ts";

export async function handleCreate(
  parts: HandlerParts,
  resource: ServedResource,
  context: RequestContext,
): Promise<ApiResult> {
  const options = parseWriteOptions(context.request.query, "CreateOptions");
  const draft = await readObjectBody(parts, resource, { context, fieldValidation: options.fieldValidation });
  const { namespace } = context.info;
  const object = await createObject(parts.registry, { resource, namespace, draft, options, context });
  return { type: "stored", status: 201, resource, object };
}
