/**
 * Requests outside /api and /apis resources: health, version, metrics, discovery, OpenAPI. One handler each, asked in turn.
 */
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { pathNotFound } from "#apiserver/registry/errors.ts";

/** Serves some paths. */
export interface NonResourceHandler {
  /** The answer, or undefined when the path is not this handler's. Throws StatusError. */
  handle(context: RequestContext): Promise<ApiResult | undefined> | ApiResult | undefined;
}

/** Asks the handlers in turn. Throws NotFound when none knows the path. */
export async function handleNonResource(
  handlers: readonly NonResourceHandler[],
  context: RequestContext,
): Promise<ApiResult> {
  for (const handler of handlers) {
    const result = await handler.handle(context);
    if (result !== undefined) return result;
  }
  throw pathNotFound();
}
