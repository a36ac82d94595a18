/**
 * Server-side apply: a PATCH that says what its manager wants of an object, which is created when it is absent.
 */
import { applyServerSideSteps } from "#apimachinery/managed-fields/apply-server-side.ts";
import { isJsonObject } from "#apimachinery/json.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { badRequest, StatusError } from "#apimachinery/status-error.ts";
import { takeAtOnce } from "#apimachinery/steps.ts";
import type { Draft } from "#api/strategy.ts";
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { authorize } from "#apiserver/filters/authorization.ts";
import { resetFieldsOf } from "#apiserver/registry/field-ownership.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import { updateObject } from "#apiserver/registry/update.ts";
import { updateRules } from "#apiserver/registry/update-rules.ts";
import { isLarge } from "#apiserver/turns.ts";
import { type HandlerParts, readValue } from "./handler-parts.ts";
import { checkApplied, conform } from "./object-body.ts";
import { parseWriteOptions } from "./write-options.ts";

export async function handleApply(
  parts: HandlerParts,
  resource: ServedResource,
  context: RequestContext,
): Promise<ApiResult> {
  const options = parseWriteOptions(context.request.query, "ApplyOptions");
  const applied = await readValue(parts, context);
  if (!isJsonObject(applied)) throw badRequest("error decoding YAML: json: cannot unmarshal into Go value of type map");
  const { namespace, name, subresource } = context.info;
  const wanted = withName(applied as KubeObject, name);
  await checkApplied(resource, applied as Draft, name, { context, fieldValidation: options.fieldValidation });
  const rules = updateRules(resource, subresource);
  const output = await updateObject(parts.registry, {
    resource,
    namespace,
    name,
    subresource,
    change: async (old) => {
      if (old === undefined) await authorizeCreate(parts, context);
      const steps = merge(parts, { resource, context, old, applied: wanted, options });
      const merged = isLarge(context) ? await context.takeSteps(steps) : takeAtOnce(steps);
      return await conform(merged as Draft, resource, { context, fieldValidation: "Ignore" });
    },
    createsWhenAbsent: subresource === "",
    options,
    context,
    isOwned: true,
    ...(rules === undefined ? {} : { rules }),
  });
  return { type: "stored", status: output.isCreated ? 201 : 200, resource, object: output.object };
}

// Who may patch may not yet create.
async function authorizeCreate(parts: HandlerParts, context: RequestContext): Promise<void> {
  const info = { ...context.info, verb: "create" };
  await authorize(parts.registry.parts.authorizer, context.user, { info, query: context.request.query });
}

function* merge(
  parts: HandlerParts,
  input: {
    readonly resource: ServedResource;
    readonly context: RequestContext;
    readonly old: KubeObject | undefined;
    readonly applied: KubeObject;
    readonly options: { readonly fieldManager: string; readonly force: boolean };
  },
): Generator<void, KubeObject> {
  const { resource, context, old, applied, options } = input;
  if (resource.schema === undefined) throw unsupported(resource);
  const { object } = yield* applyServerSideSteps({
    live: old,
    applied,
    manager: options.fieldManager,
    force: options.force,
    apiVersion: resource.apiVersion,
    kind: resource.kind,
    subresource: context.info.subresource,
    now: parts.registry.parts.clock.now(),
    schema: resource.schema,
    resetFields: resetFieldsOf(resource, context.info.subresource),
  });
  return object;
}

function withName(applied: KubeObject, name: string): KubeObject {
  const given = applied.metadata?.name ?? "";
  if (given === name) return applied;
  if (given === "") return { ...applied, metadata: { ...applied.metadata, name } };
  throw badRequest(`the name of the object (${given}) does not match the name on the URL (${name})`);
}

function unsupported(resource: ServedResource): StatusError {
  const message = `server-side apply is not supported for ${resource.resource}`;
  return new StatusError({ reason: "UnsupportedMediaType", code: 415, message });
}
