/**
 * Bindings: the scheduler says on which node a pod runs. As pkg/registry/core/pod/storage's BindingREST.
 */
import { invalidObject, notSupported, required, type FieldError } from "#apimachinery/field-error.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { badRequest, conflict } from "#apimachinery/status-error.ts";
import type { Draft } from "#api/strategy.ts";
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import type { HandlerParts } from "#apiserver/handlers/handler-parts.ts";
import { readKind } from "#apiserver/handlers/object-body.ts";
import { parseWriteOptions } from "#apiserver/handlers/write-options.ts";
import { type AdmissionWrite, mutate, validate } from "#apiserver/registry/admission-chain.ts";
import { guaranteedUpdate } from "#apiserver/registry/guaranteed-update.ts";
import { formatTime } from "#apiserver/registry/object-meta.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";

type Binding = KubeObject & { readonly target?: { readonly kind?: string; readonly name?: string } };

/** Serves POST of pods/binding and of bindings. */
export async function handleBinding(
  parts: HandlerParts,
  resource: ServedResource,
  context: RequestContext,
): Promise<ApiResult> {
  const { registry } = parts;
  const options = parseWriteOptions(context.request.query, "CreateOptions");
  const schema = registry.parts.kindFacts.schemaOf("", "v1", "Binding");
  const expected = { apiVersion: "v1", kind: "Binding" };
  const check = { context, fieldValidation: options.fieldValidation };
  const binding = (await readKind(parts, { expected, schema, check })) as Binding;
  const name = podNameOf(binding, context);
  const write: AdmissionWrite = { context, resource, operation: "CREATE", dryRun: options.dryRun, options };
  await mutate(registry.parts.admission, write, { object: binding, oldObject: undefined });
  checkBinding(binding, name);
  await validate(registry.parts.admission, write, { object: binding, oldObject: undefined });
  await guaranteedUpdate(registry, {
    resource: registry.core("pods"),
    namespace: context.info.namespace,
    name,
    dryRun: options.dryRun,
    change: (pod) => assign(pod, { binding, name, nowText: formatTime(registry.parts.clock.now()) }),
  });
  const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 } as const;
  return { type: "object", status: 201, object: status as KubeObject };
}

function podNameOf(binding: Binding, context: RequestContext): string {
  const given = binding.metadata?.name ?? "";
  const { name, namespace } = context.info;
  if (name !== "" && given !== "" && given !== name)
    throw badRequest("name in URL does not match name in Binding object");
  const givenNamespace = binding.metadata?.namespace ?? "";
  if (givenNamespace !== "" && givenNamespace !== namespace) {
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
  return name === "" ? given : name;
}

function checkBinding(binding: Binding, name: string): void {
  const errors: FieldError[] = [];
  const { kind = "", name: node = "" } = binding.target ?? {};
  if (kind !== "" && kind !== "Node") errors.push(notSupported("target.kind", kind, ["Node", "<empty>"]));
  if (node === "") errors.push(required("target.name"));
  if (errors.length > 0) throw invalidObject({ group: "", kind: "Binding", name }, errors);
}

function assign(
  pod: Draft,
  assignment: { readonly binding: Binding; readonly name: string; readonly nowText: string },
): void {
  const { binding, name, nowText } = assignment;
  const refuse = (why: string): Error => conflict({ group: "", resource: "pods/binding", name }, why);
  const { uid, resourceVersion, annotations, labels } = binding.metadata ?? {};
  const metadata = pod["metadata"] as Draft;
  const spec = pod["spec"] as Draft;
  if (uid && uid !== metadata["uid"]) {
    throw refuse(`Precondition failed: UID in precondition: ${uid}, UID in object meta: ${metadata["uid"]}`);
  }
  if (resourceVersion && resourceVersion !== metadata["resourceVersion"]) {
    const why = `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${metadata["resourceVersion"]}`;
    throw refuse(why);
  }
  if (metadata["deletionTimestamp"]) throw refuse(`pod ${name} is being deleted, cannot be assigned to a host`);
  if (spec["nodeName"]) throw refuse(`pod ${name} is already assigned to node "${spec["nodeName"]}"`);
  if ((spec["schedulingGates"] ?? []).length > 0) throw refuse(`pod ${name} has non-empty .spec.schedulingGates`);
  spec["nodeName"] = binding.target?.name;
  if (annotations !== undefined) metadata["annotations"] = { ...metadata["annotations"], ...annotations };
  if (labels !== undefined) metadata["labels"] = { ...metadata["labels"], ...labels };
  setScheduled(pod, nowText);
}

function setScheduled(pod: Draft, nowText: string): void {
  const status = (pod["status"] ??= {}) as Draft;
  const others = ((status["conditions"] ?? []) as Draft[]).filter((condition) => condition["type"] !== "PodScheduled");
  const scheduled = { type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: nowText };
  status["conditions"] = [...others, scheduled];
}
