/**
 * Gives containers the namespace's default requests and limits, and refuses pods and claims beyond its bounds. As plugin/pkg/admission/limitranger.
 */
import type { LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod } from "#api/generated/types/core-v1.ts";
import { podLimits, podRequests, type ResourceAmounts } from "#api/core/pod-resources.ts";
import { itemsOf } from "#api/defaults.ts";
import type { Draft } from "#api/strategy.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { approximateFloat, compareQuantities, formatQuantity, parseQuantity } from "#apimachinery/quantity.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import { aggregate } from "#apiserver/authorization/rbac-authorizer.ts";
import type { Informer } from "#client/informer.ts";
import { draftOf, isWriteTo, refuse, synced } from "./admission-tools.ts";

type Resources = Readonly<Record<string, string | number>>;

/** What one container, pod or claim asks for. */
type Usage = { readonly requests: ResourceAmounts; readonly limits: ResourceAmounts };

export class LimitRangerPlugin implements AdmissionPlugin {
  readonly name = "LimitRanger";
  readonly #limitRanges: Informer<LimitRange>;

  constructor(limitRanges: Informer<LimitRange>) {
    this.#limitRanges = limitRanges;
  }

  handles(attributes: AdmissionAttributes): boolean {
    const { operation } = attributes;
    if (isWriteTo(attributes, "", "pods")) return operation === "CREATE";
    if (isWriteTo(attributes, "", "pods", "resize")) return operation === "UPDATE";
    return isWriteTo(attributes, "", "persistentvolumeclaims") && (operation === "CREATE" || operation === "UPDATE");
  }

  async mutate(attributes: AdmissionAttributes): Promise<KubeObject | undefined> {
    if (attributes.request.resource !== "pods") return undefined;
    const ranges = await this.#rangesOf(attributes);
    if (ranges.length === 0) return undefined;
    const draft = draftOf(attributes);
    for (const range of ranges) applyDefaults(draft, range);
    return draft as KubeObject;
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const limits = (await this.#rangesOf(attributes)).flatMap(({ spec }) => spec?.limits ?? []);
    const isPod = attributes.request.resource === "pods";
    const errors = limits.flatMap((limit) =>
      isPod ? checkPod(limit, attributes.object as Pod) : checkClaim(limit, attributes.object as PersistentVolumeClaim),
    );
    if (errors.length > 0) throw refuse(attributes, aggregate(errors));
  }

  async #rangesOf({ request }: AdmissionAttributes): Promise<readonly LimitRange[]> {
    return (await synced(this.#limitRanges)).list(request.namespace);
  }
}

function applyDefaults(draft: Draft, { spec }: LimitRange): void {
  const items = (spec?.limits ?? []).filter((item) => item.type === "Container");
  const defaults = {
    requests: Object.assign({}, ...items.map((item) => item.defaultRequest)) as Resources,
    limits: Object.assign({}, ...items.map((item) => item.default)) as Resources,
  };
  const notes = [
    ...itemsOf(draft["spec"].containers).flatMap((container) => fill(container, defaults, "container")),
    ...itemsOf(draft["spec"].initContainers).flatMap((container) => fill(container, defaults, "init container")),
  ];
  if (notes.length === 0) return;
  const annotations = {
    ...draft["metadata"].annotations,
    "kubernetes.io/limit-ranger": `LimitRanger plugin set: ${notes.join("; ")}`,
  };
  draft["metadata"] = { ...draft["metadata"], annotations };
}

function fill(
  container: Draft,
  defaults: { readonly requests: Resources; readonly limits: Resources },
  what: string,
): readonly string[] {
  const resources = { ...container["resources"] } as Draft;
  const notes = (["requests", "limits"] as const).flatMap((which) => {
    const missing = Object.keys(defaults[which]).filter((name) => resources[which]?.[name] === undefined);
    if (missing.length === 0) return [];
    resources[which] = {
      ...resources[which],
      ...Object.fromEntries(missing.map((name) => [name, defaults[which][name]])),
    };
    return [`${missing.sort().join(", ")} ${which.slice(0, -1)} for ${what} ${container["name"]}`];
  });
  container["resources"] = resources;
  return notes;
}

function checkPod(limit: LimitRangeItem, pod: Pod): readonly string[] {
  if (limit.type === "Pod")
    return check(limit, {
      requests: podRequests(pod, { overhead: false }),
      limits: podLimits(pod, { overhead: false }),
    });
  if (limit.type !== "Container") return [];
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  return containers.flatMap(({ resources }) =>
    check(limit, { requests: amounts(resources?.requests), limits: amounts(resources?.limits) }),
  );
}

function checkClaim(limit: LimitRangeItem, { spec }: PersistentVolumeClaim): readonly string[] {
  if (limit.type !== "PersistentVolumeClaim") return [];
  const usage = { requests: amounts(spec?.resources?.requests), limits: new Map() };
  return [
    ...entries(limit.min).flatMap(([name, text]) => checkMin(limit.type, name, text, usage)),
    ...entries(limit.max).flatMap(([name, text]) => checkMaxRequest(limit.type, name, text, usage)),
  ];
}

function check(limit: LimitRangeItem, usage: Usage): readonly string[] {
  return [
    ...entries(limit.min).flatMap(([name, text]) => checkMin(limit.type, name, text, usage)),
    ...entries(limit.max).flatMap(([name, text]) => checkMax(limit.type, name, text, usage)),
    ...entries(limit.maxLimitRequestRatio).flatMap(([name, text]) => checkRatio(limit.type, name, text, usage)),
  ];
}

function checkMin(type: string, name: string, text: string, { requests, limits }: Usage): readonly string[] {
  const bound = parseQuantity(text);
  const says = `minimum ${name} usage per ${type} is ${formatQuantity(bound)}`;
  const [request, limit] = [requests.get(name), limits.get(name)];
  if (!request) return [`${says}.  No request is specified`];
  if (compareQuantities(request, bound) < 0) return [`${says}, but request is ${formatQuantity(request)}`];
  if (limit && compareQuantities(limit, bound) < 0) return [`${says}, but limit is ${formatQuantity(limit)}`];
  return [];
}

function checkMax(type: string, name: string, text: string, { requests, limits }: Usage): readonly string[] {
  const bound = parseQuantity(text);
  const says = `maximum ${name} usage per ${type} is ${formatQuantity(bound)}`;
  const [request, limit] = [requests.get(name), limits.get(name)];
  if (!limit) return [`${says}.  No limit is specified`];
  if (compareQuantities(limit, bound) > 0) return [`${says}, but limit is ${formatQuantity(limit)}`];
  if (request && compareQuantities(request, bound) > 0) return [`${says}, but request is ${formatQuantity(request)}`];
  return [];
}

function checkMaxRequest(type: string, name: string, text: string, { requests }: Usage): readonly string[] {
  const bound = parseQuantity(text);
  const says = `maximum ${name} usage per ${type} is ${formatQuantity(bound)}`;
  const request = requests.get(name);
  if (!request) return [`${says}.  No request is specified`];
  return compareQuantities(request, bound) > 0 ? [`${says}, but request is ${formatQuantity(request)}`] : [];
}

function checkRatio(type: string, name: string, text: string, { requests, limits }: Usage): readonly string[] {
  const says = `${name} max limit to request ratio per ${type} is ${formatQuantity(parseQuantity(text))}`;
  const [request, limit] = [requests.get(name), limits.get(name)];
  if (!request || request.nanos === 0n) return [`${says}, but no request is specified or request is 0`];
  if (!limit || limit.nanos === 0n) return [`${says}, but no limit is specified or limit is 0`];
  const ratio = approximateFloat(limit) / approximateFloat(request);
  return ratio > approximateFloat(text) ? [`${says}, but provided ratio is ${ratio.toFixed(6)}`] : [];
}

function amounts(resources: Resources | undefined): ResourceAmounts {
  return new Map(Object.entries(resources ?? {}).map(([name, text]) => [name, parseQuantity(text)]));
}

function entries(resources: Resources | undefined): readonly (readonly [string, string])[] {
  return Object.entries(resources ?? {}).map(([name, text]) => [name, String(text)]);
}
