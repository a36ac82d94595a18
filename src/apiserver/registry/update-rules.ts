/**
 * Rules of the subresources that write their object but are neither status nor the object itself: what they may change.
 */
import { type FieldError, forbiddenField, invalid } from "#apimachinery/field-error.ts";
import { jsonEqual } from "#apimachinery/json.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { validatePod } from "#api/core/validation/pod.ts";
import { qosClassOf } from "#api/core/pod-qos.ts";
import type { Draft } from "#api/strategy.ts";
import type { ServedResource } from "./served-resource.ts";
import type { UpdateRules } from "./update.ts";

/** The rules of a subresource; undefined for the object itself and its status, which follow the kind's strategy. */
export function updateRules(resource: ServedResource, subresource: string): UpdateRules | undefined {
  if (subresource === "" || subresource === "status") return undefined;
  return rules.get(`${resource.stored.groupResource}/${subresource}`);
}

const rules: ReadonlyMap<string, UpdateRules> = new Map([
  // Only spec.finalizers, the list that a namespace's end waits for.
  ["namespaces/finalize", { prepare: prepareFinalize, validate: () => [] }],
  ["certificatesigningrequests.certificates.k8s.io/approval", { prepare: prepareApproval, validate: () => [] }],
  ["pods/ephemeralcontainers", { prepare: prepareEphemeral, validate: ephemeralErrors }],
  ["pods/resize", { prepare: prepareResize, validate: resizeErrors }],
]);

// Everything but the named fields is as before.
function keepAllBut(draft: Draft, old: KubeObject, fields: readonly string[]): void {
  const free = new Set([...fields, "metadata", "kind", "apiVersion"]);
  for (const key of Object.keys(draft)) if (!free.has(key)) delete draft[key];
  for (const [key, value] of Object.entries(old)) if (!free.has(key)) draft[key] = value;
}

function prepareFinalize(draft: Draft, old: KubeObject): void {
  keepAllBut(draft, old, ["spec"]);
}

// Only the conditions, as they are the decision; what the signer wrote stays.
function prepareApproval(draft: Draft, old: KubeObject): void {
  const conditions = draft["status"]?.conditions as Draft[] | undefined;
  keepAllBut(draft, old, []);
  const { conditions: before = [], ...status } = ((old as Draft)["status"] ?? {}) as Draft;
  const now = `${new Date().toISOString().slice(0, 19)}Z`;
  const completed = (conditions ?? []).map((condition) => {
    const same = (before as Draft[]).find((each) => each["type"] === condition["type"]);
    const isSame = same !== undefined && same["status"] === condition["status"];
    const lastTransitionTime = condition["lastTransitionTime"] ?? (isSame ? same["lastTransitionTime"] : now);
    return { ...condition, lastUpdateTime: condition["lastUpdateTime"] ?? now, lastTransitionTime };
  });
  draft["status"] = completed.length === 0 ? status : { ...status, conditions: completed };
}

function prepareEphemeral(draft: Draft, old: KubeObject): void {
  const containers = draft["spec"]?.ephemeralContainers as unknown;
  keepAllBut(draft, old, []);
  const { ephemeralContainers: _before, ...spec } = (old as Draft)["spec"] as Draft;
  draft["spec"] = containers === undefined ? spec : { ...spec, ephemeralContainers: containers };
}

function ephemeralErrors(object: KubeObject, old: KubeObject): readonly FieldError[] {
  const errors: FieldError[] = [...validatePod(object as Pod)];
  const now = new Map(containersOf(object, "ephemeralContainers").map((each) => [each["name"], each]));
  containersOf(old, "ephemeralContainers").forEach((before, index) => {
    const field = `spec.ephemeralContainers[${index}]`;
    const after = now.get(before["name"]);
    const name = JSON.stringify(before["name"]);
    if (after === undefined)
      errors.push(forbiddenField(field, `existing ephemeral containers ${name} may not be removed\n`));
    else if (!jsonEqual(after, before)) {
      errors.push(forbiddenField(field, `existing ephemeral containers ${name} may not be changed\n`));
    }
  });
  return errors;
}

// Of each container only its resources and how it takes a change of them.
function prepareResize(draft: Draft, old: KubeObject): void {
  const sent = (draft["spec"] ?? {}) as Draft;
  keepAllBut(draft, old, []);
  const spec = { ...((old as Draft)["spec"] as Draft) };
  for (const list of ["containers", "initContainers"]) {
    const wanted = new Map(((sent[list] ?? []) as Draft[]).map((each) => [each["name"], each]));
    if (spec[list] === undefined) continue;
    spec[list] = (spec[list] as Draft[]).map((container) => resized(container, wanted.get(container["name"])));
  }
  draft["spec"] = spec;
}

function resized(container: Draft, wanted: Draft | undefined): Draft {
  if (wanted === undefined) return container;
  const { resources, resizePolicy } = wanted;
  return {
    ...container,
    ...(resources === undefined ? {} : { resources }),
    ...(resizePolicy === undefined ? {} : { resizePolicy }),
  };
}

function resizeErrors(object: KubeObject, old: KubeObject): readonly FieldError[] {
  const errors: FieldError[] = [...validatePod(object as Pod)];
  const after = (object as Draft)["spec"] as Draft;
  const before = (old as Draft)["spec"] as Draft;
  if (qosClassOf(after) !== qosClassOf(before)) {
    errors.push(invalid("spec", qosClassOf(after), "Pod QOS Class may not change as a result of resizing"));
  }
  containersOf(object, "containers").forEach((container, index) => {
    const was = containersOf(old, "containers")[index] ?? {};
    if (!jsonEqual(withoutCpuAndMemory(container), withoutCpuAndMemory(was))) {
      const why = "only cpu and memory resources are mutable";
      errors.push(forbiddenField(`spec.containers[${index}].resources`, why));
    }
  });
  return errors;
}

function withoutCpuAndMemory(container: Draft): unknown {
  const { requests = {}, limits = {}, ...rest } = (container["resources"] ?? {}) as Draft;
  const strip = ({ cpu: _cpu, memory: _memory, ...others }: Draft): Draft => others;
  return { ...rest, requests: strip(requests as Draft), limits: strip(limits as Draft) };
}

function containersOf(object: KubeObject, list: string): readonly Draft[] {
  return (((object as Draft)["spec"] as Draft | undefined)?.[list] ?? []) as Draft[];
}
