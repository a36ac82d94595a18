/**
 * Requests that are not create, get, list, watch, update, patch or delete of a stored object: bindings, evictions, scale, tokens, reviews. One handler for each, in a table by name.
 */
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import type { Registry } from "./registry.ts";
import type { ServedResource } from "./served-resource.ts";

/** What a subresource handler is given. */
export type SubresourceRequest = {
  readonly registry: Registry;
  readonly resource: ServedResource;
  readonly context: RequestContext;
};

/** Answers requests for one subresource (or for a resource that keeps nothing, as tokenreviews). */
export interface SubresourceHandler {
  /** The answer. Throws StatusError; MethodNotAllowed for verbs that it does not know. */
  handle(request: SubresourceRequest): Promise<ApiResult>;
}

/** Table key: "GROUP/RESOURCE/SUBRESOURCE", the core group is "": "/pods/binding", "apps/deployments/scale", "authentication.k8s.io/tokenreviews". */
export function subresourceKey(resource: ServedResource, subresource: string): string {
  const key = `${resource.group}/${resource.resource}`;
  return subresource === "" ? key : `${key}/${subresource}`;
}
