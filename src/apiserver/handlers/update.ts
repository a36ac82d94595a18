/**
 * PUT of an object, or of a subresource that writes the object itself (status, …).
 */
import { cloneJson } from "#apimachinery/json.ts";
import { cloneSmall } from "#apimachinery/large-map.ts";
import { badRequest } from "#apimachinery/status-error.ts";
import type { Draft } from "#api/strategy.ts";
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { metadataOf } from "#apiserver/registry/object-meta.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import { updateObject } from "#apiserver/registry/update.ts";
import { updateRules } from "#apiserver/registry/update-rules.ts";
import { isLarge } from "#apiserver/turns.ts";
import type { HandlerParts } from "./handler-parts.ts";
import { readObjectBody } from "./object-body.ts";
import { parseWriteOptions } from "./write-options.ts";

export async function handleUpdate(
  parts: HandlerParts,
  resource: ServedResource,
  context: RequestContext,
): Promise<ApiResult> {
  const options = parseWriteOptions(context.request.query, "UpdateOptions");
  const { namespace, name, subresource } = context.info;
  const sent = await readObjectBody(parts, resource, { context, fieldValidation: options.fieldValidation });
  checkName(sent, name);
  const rules = updateRules(resource, subresource);
  const output = await updateObject(parts.registry, {
    resource,
    namespace,
    name,
    subresource,
    // A second attempt after a conflict begins with what was sent.
    change: () => (isLarge(context) ? cloneSmall(sent) : cloneJson(sent)),
    createsWhenAbsent: subresource === "" && resource.strategy.allowsCreateOnUpdate === true,
    options,
    context,
    ...(rules === undefined ? {} : { rules }),
  });
  return { type: "stored", status: output.isCreated ? 201 : 200, resource, object: output.object };
}

function checkName(sent: Draft, name: string): void {
  const metadata = metadataOf(sent);
  const given = metadata["name"] as string | undefined;
  if (!given) throw badRequest("name must be provided");
  if (given !== name) {
    throw badRequest(`the name of the object (${given}) does not match the name on the URL (${name})`);
  }
}
