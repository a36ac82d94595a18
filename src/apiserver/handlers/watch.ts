/**
 * GET of a collection with watch=1.
 */
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { convertTogether } from "#apiserver/registry/converted-objects.ts";
import { openWatch } from "#apiserver/registry/read.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import type { HandlerParts } from "./handler-parts.ts";
import { parseListOptions } from "./list-options.ts";

export async function handleWatch(
  parts: HandlerParts,
  resource: ServedResource,
  context: RequestContext,
): Promise<ApiResult> {
  const { namespace, name } = context.info;
  const options = await parseListOptions(context.request.query, {
    resource,
    namespace,
    name,
    isWatch: true,
    takeSteps: context.takeSteps,
  });
  const stream = await openWatch(parts.registry, resource, options);
  try {
    return { type: "watch", stream: { ...stream, initial: await convertTogether(resource, stream.initial) } };
  } catch (error) {
    stream.stop();
    throw error;
  }
}
