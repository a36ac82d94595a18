/**
 * PATCH of an object or of its status: JSON patch, merge patch, strategic merge patch; server-side apply goes on in apply.ts. The patch is applied to the newest state, and again when somebody else wrote in
 * between and the patch names no resourceVersion.
 */
import type { JsonObject } from "#apimachinery/json.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { applyJsonPatch } from "#apimachinery/patch/json-patch.ts";
import { applyMergePatch, applyMergePatchSteps } from "#apimachinery/patch/merge-patch.ts";
import { applyStrategicMergePatch, applyStrategicMergePatchSteps } from "#apimachinery/patch/strategic-merge-patch.ts";
import { badRequest, notFound } from "#apimachinery/status-error.ts";
import type { Draft } from "#api/strategy.ts";
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { mediaTypeOf, unsupportedMediaType } from "#apiserver/negotiation/decode-body.ts";
import { subjectOf } from "#apiserver/registry/errors.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import { updateObject } from "#apiserver/registry/update.ts";
import { updateRules } from "#apiserver/registry/update-rules.ts";
import { betweenStages, isLarge } from "#apiserver/turns.ts";
import { handleApply } from "./apply.ts";
import { type HandlerParts, readValue } from "./handler-parts.ts";
import { conform } from "./object-body.ts";
import { parseWriteOptions } from "./write-options.ts";

const JSON_PATCH = "application/json-patch+json";
const MERGE_PATCH = "application/merge-patch+json";
const STRATEGIC_PATCH = "application/strategic-merge-patch+json";
const APPLY_PATCH = "application/apply-patch+yaml";

export async function handlePatch(
  parts: HandlerParts,
  resource: ServedResource,
  context: RequestContext,
): Promise<ApiResult> {
  const contentType = context.request.headers["content-type"];
  const mediaType = mediaTypeOf(typeof contentType === "string" ? contentType : "");
  const accepted = [JSON_PATCH, MERGE_PATCH, ...(resource.isCustom ? [] : [STRATEGIC_PATCH]), APPLY_PATCH];
  if (!accepted.includes(mediaType)) throw unsupportedMediaType(mediaType, accepted);
  if (mediaType === APPLY_PATCH) return handleApply(parts, resource, context);
  const options = parseWriteOptions(context.request.query, "PatchOptions");
  const patch = await readValue(parts, context);
  const { namespace, name, subresource } = context.info;
  const check = { context, fieldValidation: options.fieldValidation };
  const rules = updateRules(resource, subresource);
  const output = await updateObject(parts.registry, {
    resource,
    namespace,
    name,
    subresource,
    change: async (old) => {
      if (old === undefined) throw notFound(subjectOf(resource, name));
      const value = (await patched(mediaType, resource, { old, patch, context })) as Draft;
      if (isLarge(context)) await betweenStages(context);
      return await conform(value, resource, check);
    },
    createsWhenAbsent: false,
    options,
    context,
    ...(rules === undefined ? {} : { rules }),
  });
  return { type: "stored", status: output.isCreated ? 201 : 200, resource, object: output.object };
}

function patched(
  mediaType: string,
  resource: ServedResource,
  input: { readonly old: KubeObject; readonly patch: unknown; readonly context: RequestContext },
): JsonObject | Promise<JsonObject> {
  const old = input.old as JsonObject;
  switch (mediaType) {
    case JSON_PATCH:
      return applyJsonPatch(old, input.patch);
    case MERGE_PATCH:
      if (!isLarge(input.context)) return applyMergePatch(old, input.patch);
      return input.context.takeSteps(applyMergePatchSteps(old, input.patch));
    default:
      if (resource.schema === undefined) throw badRequest("strategic merge patch is not supported for this kind");
      if (!isLarge(input.context)) return applyStrategicMergePatch(old, input.patch, resource.schema);
      return input.context.takeSteps(applyStrategicMergePatchSteps(old, input.patch, resource.schema));
  }
}
