/**
 * Evictions: a delete that asks the pod's disruption budget first. As pkg/registry/core/pod/storage/eviction.go.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { PodDisruptionBudget } from "#api/generated/types/policy-v1.ts";
import { matchesLabelSelector } from "#apimachinery/label-selector.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { badRequest, forbidden, internalError, notFound, StatusError } from "#apimachinery/status-error.ts";
import type { Draft } from "#api/strategy.ts";
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { type DeleteOptions, parseDeleteOptions } from "#apiserver/handlers/delete-options.ts";
import type { HandlerParts } from "#apiserver/handlers/handler-parts.ts";
import { readKind } from "#apiserver/handlers/object-body.ts";
import { parseWriteOptions } from "#apiserver/handlers/write-options.ts";
import { type AdmissionWrite, mutate, validate } from "#apiserver/registry/admission-chain.ts";
import { deleteObject } from "#apiserver/registry/delete.ts";
import { subjectOf } from "#apiserver/registry/errors.ts";
import { guaranteedUpdate } from "#apiserver/registry/guaranteed-update.ts";
import { formatTime } from "#apiserver/registry/object-meta.ts";
import type { Registry } from "#apiserver/registry/registry.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import { prefixOf } from "#apiserver/storage/stored-resource.ts";

/** More pods under way than this, and the budget's controller has lost count. */
const MAX_DISRUPTED_PODS = 2000;

type Eviction = KubeObject & { readonly deleteOptions?: object };
type Target = { readonly registry: Registry; readonly context: RequestContext; readonly options: DeleteOptions };

/** Serves POST of pods/eviction. */
export async function handleEviction(
  parts: HandlerParts,
  resource: ServedResource,
  context: RequestContext,
): Promise<ApiResult> {
  const { registry } = parts;
  const { query } = context.request;
  const writeOptions = parseWriteOptions(query, "CreateOptions");
  const schema = registry.parts.kindFacts.schemaOf("policy", "v1", "Eviction");
  const expected = { apiVersion: "policy/v1", kind: "Eviction" };
  const check = { context, fieldValidation: writeOptions.fieldValidation };
  const eviction = (await readKind(parts, { expected, schema, check })) as Eviction;
  const { namespace, name } = context.info;
  const given = eviction.metadata?.name ?? "";
  if (given !== "" && given !== name) throw badRequest("name in URL does not match name in Eviction object");
  const asked = parseDeleteOptions(query, eviction.deleteOptions);
  const options = { ...asked, dryRun: asked.dryRun || writeOptions.dryRun };
  const pod = (await registry.storageOf(resource).find(namespace, name))?.object as Pod | undefined;
  if (pod === undefined) throw notFound(subjectOf(resource, name));
  const write: AdmissionWrite = { context, resource, operation: "CREATE", dryRun: options.dryRun, options };
  await mutate(registry.parts.admission, write, { object: eviction, oldObject: undefined });
  await validate(registry.parts.admission, write, { object: eviction, oldObject: undefined });
  const target = { registry, context, options };
  if (!isFree(pod)) await askBudget(target, pod);
  await markTarget(target, resource, pod);
  await deleteObject(registry, { resource, namespace, name, options, context });
  const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };
  return { type: "object", status: 201, object: status as KubeObject };
}

// Pods that do not run, or are going already, disrupt nothing.
function isFree({ metadata, status }: Pod): boolean {
  const phase = status?.phase;
  return (
    phase === "Succeeded" || phase === "Failed" || phase === "Pending" || metadata?.deletionTimestamp !== undefined
  );
}

async function askBudget(target: Target, pod: Pod): Promise<void> {
  const budgets = await budgetsOf(target.registry, pod);
  const [budget] = budgets;
  if (budget === undefined) return;
  if (budgets.length > 1) {
    throw internalErrorWith(
      "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
    );
  }
  if (!isReady(pod)) {
    if (budget.spec?.unhealthyPodEvictionPolicy === "AlwaysAllow") return;
    const { currentHealthy = 0, desiredHealthy = 0 } = budget.status ?? {};
    if (
      budget.spec?.unhealthyPodEvictionPolicy !== "AlwaysAllow" &&
      currentHealthy >= desiredHealthy &&
      desiredHealthy > 0
    ) {
      return;
    }
  }
  await countDisruption(target, budget, pod);
}

async function budgetsOf(registry: Registry, pod: Pod): Promise<readonly PodDisruptionBudget[]> {
  const resource = registry.parts.table.find("policy", "v1", "poddisruptionbudgets");
  if (resource === undefined) return [];
  const cache = await registry.storageOf(resource).fresh();
  const all = cache.snapshot().from(prefixOf(resource.stored, pod.metadata?.namespace ?? ""));
  return [...all]
    .map((stored) => stored.object as PodDisruptionBudget)
    .filter((budget) => matchesLabelSelector(budget.spec?.selector, pod.metadata?.labels));
}

async function countDisruption(target: Target, budget: PodDisruptionBudget, pod: Pod): Promise<void> {
  const { registry, options } = target;
  const resource = registry.parts.table.find("policy", "v1", "poddisruptionbudgets");
  if (resource === undefined) return;
  const { namespace = "", name = "" } = budget.metadata ?? {};
  await guaranteedUpdate(registry, {
    resource,
    namespace,
    name,
    dryRun: options.dryRun,
    change: (draft) => takeDisruption(draft, pod.metadata?.name ?? "", formatTime(registry.parts.clock.now())),
  });
}

function takeDisruption(budget: Draft, podName: string, nowText: string): void {
  const { name, generation = 0 } = budget["metadata"] as { readonly name: string; readonly generation?: number };
  const status = (budget["status"] ??= {}) as Draft;
  const subject = { group: "policy", resource: "poddisruptionbudgets", name };
  if ((status["observedGeneration"] ?? 0) < generation) {
    throw tooMany(name, `The disruption budget ${name} is still being processed by the server.`, 10);
  }
  const allowed = Number(status["disruptionsAllowed"] ?? 0);
  if (allowed < 0) throw forbidden(subject, "pdb disruptions allowed is negative");
  const disrupted = (status["disruptedPods"] ?? {}) as Record<string, string>;
  if (Object.keys(disrupted).length > MAX_DISRUPTED_PODS) {
    throw forbidden(subject, "DisruptedPods map too big - too many evictions not confirmed by PDB controller");
  }
  if (allowed === 0) {
    const { desiredHealthy = 0, currentHealthy = 0 } = status as { desiredHealthy?: number; currentHealthy?: number };
    throw tooMany(
      name,
      `The disruption budget ${name} needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`,
      0,
    );
  }
  status["disruptionsAllowed"] = allowed - 1;
  status["disruptedPods"] = { ...disrupted, [podName]: nowText };
}

function tooMany(name: string, message: string, retryAfterSeconds: number): StatusError {
  const causes = [{ reason: "DisruptionBudget", message, field: "" }];
  return new StatusError({
    reason: "TooManyRequests",
    code: 429,
    message: "Cannot evict pod as it would violate the pod's disruption budget.",
    details: { name, causes, ...(retryAfterSeconds === 0 ? {} : { retryAfterSeconds }) },
  });
}

async function markTarget(target: Target, resource: ServedResource, pod: Pod): Promise<void> {
  const { registry, options } = target;
  const { namespace = "", name = "" } = pod.metadata ?? {};
  const condition = {
    type: "DisruptionTarget",
    status: "True",
    reason: "EvictionByEvictionAPI",
    message: "Eviction API: evicting",
    lastProbeTime: null,
    lastTransitionTime: formatTime(registry.parts.clock.now()),
  };
  await guaranteedUpdate(registry, {
    resource,
    namespace,
    name,
    dryRun: options.dryRun,
    change: (draft) => {
      const status = (draft["status"] ??= {}) as Draft;
      const others = ((status["conditions"] ?? []) as Draft[]).filter((each) => each["type"] !== condition.type);
      status["conditions"] = [...others, condition];
    },
  });
}

function isReady({ status }: Pod): boolean {
  return status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") ?? false;
}

function internalErrorWith(message: string): StatusError {
  return internalError(new Error(message));
}
