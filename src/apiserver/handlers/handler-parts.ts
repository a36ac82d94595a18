/**
 * What all handlers work with.
 */
import type { RequestContext } from "#apiserver/api-request.ts";
import { type BodyDecoder, decodeValue } from "#apiserver/negotiation/decode-body.ts";
import type { Registry } from "#apiserver/registry/registry.ts";
import type { SubresourceHandler } from "#apiserver/registry/subresource.ts";

/** Largest body accepted for one request, in bytes: 3 MiB, as kube-apiserver. Larger bodies get 413. */
export const MAX_BODY_BYTES: number = 3 * 1024 * 1024;

/** The handlers' parts. */
export type HandlerParts = {
  readonly registry: Registry;
  readonly decoder: BodyDecoder;
  /** By {@link subresourceKey}. */
  readonly subresources: ReadonlyMap<string, SubresourceHandler>;
};

/** The request's body, decoded but not checked; undefined when there is none. */
export async function readValue(parts: HandlerParts, context: RequestContext): Promise<unknown> {
  return decodeValue(parts.decoder, await context.request.readBody(MAX_BODY_BYTES));
}
