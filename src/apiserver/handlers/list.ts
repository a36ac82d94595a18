/**
 * GET of a collection.
 */
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { inOneVersion } from "#apiserver/registry/converted-objects.ts";
import { readList } from "#apiserver/registry/read.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import type { HandlerParts } from "./handler-parts.ts";
import { parseListOptions } from "./list-options.ts";

export async function handleList(
  parts: HandlerParts,
  resource: ServedResource,
  context: RequestContext,
): Promise<ApiResult> {
  const { namespace, name } = context.info;
  const options = await parseListOptions(context.request.query, {
    resource,
    namespace,
    name,
    isWatch: false,
    takeSteps: context.takeSteps,
  });
  return { type: "list", page: await inOneVersion(await readList(parts.registry, resource, options)) };
}
