/**
 * Creates of what is not kept: reviews and tokens. The body is read as the kind that the resource speaks, passes admission, and the virtual resource computes the answer.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { formatApiVersion } from "#apimachinery/meta.ts";
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { type AdmissionWrite, mutate, validate } from "#apiserver/registry/admission-chain.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import type { VirtualResource } from "#apiserver/virtual-resources/virtual-resource.ts";
import type { HandlerParts, SubresourceHandler } from "./handler-parts.ts";
import { readKind } from "./object-body.ts";
import { parseWriteOptions } from "./write-options.ts";

/** The handler of a virtual resource. */
export function virtualHandler(compute: VirtualResource): SubresourceHandler {
  return async (parts: HandlerParts, resource: ServedResource, context: RequestContext): Promise<ApiResult> => {
    const options = parseWriteOptions(context.request.query, "CreateOptions");
    const spoken = resource.subresources.get(context.info.subresource) ?? resource.facts;
    const { group, version, kind } = spoken;
    const schema = parts.decoder.kindFacts.schemaOf(group, version, kind);
    const expected = { apiVersion: formatApiVersion({ group, version }), kind };
    const check = { context, fieldValidation: options.fieldValidation };
    const body = (await readKind(parts, { expected, schema, check })) as KubeObject;
    const { admission } = parts.registry.parts;
    const write: AdmissionWrite = { context, resource, operation: "CREATE", dryRun: options.dryRun, options };
    const object = (await mutate(admission, write, { object: body, oldObject: undefined })) ?? body;
    await validate(admission, write, { object, oldObject: undefined });
    const { user, info } = context;
    const answer = await compute({ user, request: info, object, warn: (text) => context.warnings.push(text) });
    return { type: "object", status: 201, object: answer };
  };
}
