/**
 * What all handlers work with, and the seam for requests that are no get, list, watch, create, update, patch or delete of a stored object: bindings, evictions, scale, tokens, reviews.
 */
import type { ApiResult, RequestBody, RequestContext } from "#apiserver/api-request.ts";
import { type BodyDecoder, decodeValue } from "#apiserver/negotiation/decode-body.ts";
import type { Registry } from "#apiserver/registry/registry.ts";
import { betweenStages, isLarge } from "#apiserver/turns.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";

/** Largest body accepted for one request, in bytes: 3 MiB, as kube-apiserver. Larger bodies get 413. */
const MAX_BODY_BYTES: number = 3 * 1024 * 1024;

/** The handlers' parts. */
export type HandlerParts = {
  readonly registry: Registry;
  readonly decoder: BodyDecoder;
  /** By {@link subresourceKey}. */
  readonly subresources: ReadonlyMap<string, SubresourceHandler>;
};

/** Answers requests for one subresource (or for a resource that keeps nothing, as tokenreviews). Throws StatusError. */
export type SubresourceHandler = (
  parts: HandlerParts,
  resource: ServedResource,
  context: RequestContext,
) => Promise<ApiResult>;

/** Table key: "GROUP/RESOURCE/SUBRESOURCE", the core group is "": "/pods/binding", "apps/deployments/scale", "authentication.k8s.io/tokenreviews". */
export function subresourceKey(resource: ServedResource, subresource: string): string {
  const key = `${resource.group}/${resource.resource}`;
  return subresource === "" ? key : `${key}/${subresource}`;
}

/** The request's body, decoded but not checked; undefined when there is none. */
export async function readValue(parts: HandlerParts, context: RequestContext): Promise<unknown> {
  const value = await decodeValue(parts.decoder, await readBody(context));
  if (isLarge(context)) await betweenStages(context);
  return value;
}

/** The request's body; notes how large it was. */
export async function readBody(context: RequestContext): Promise<RequestBody> {
  const body = await context.request.readBody(MAX_BODY_BYTES);
  if (body.form === "bytes") context.bodyBytes = body.bytes.length;
  return body;
}
