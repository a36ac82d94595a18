/**
 * Which writes an admission policy or one of its bindings is about. As apiserver's policy matching, except that a rule for one version of a resource does not see writes in
 * another one.
 */
import type { MatchResources, NamedRuleWithOperations } from "#api/generated/types/admissionregistration-v1.ts";
import { type Labels, matchesLabelSelector } from "#apimachinery/label-selector.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { AdmissionAttributes } from "#apiserver/admission.ts";

/** True when the write is meant. `namespaceLabels` are those of the namespace that it goes to. */
export function matchesWrite(
  match: MatchResources | undefined,
  attributes: AdmissionAttributes,
  namespaceLabels: Labels,
): boolean {
  if (match === undefined) return true;
  const { namespaceSelector, objectSelector, excludeResourceRules = [], resourceRules = [] } = match;
  if (!isEmpty(namespaceSelector) && !matchesNamespace(namespaceSelector, attributes, namespaceLabels)) return false;
  if (!isEmpty(objectSelector) && !matchesObject(objectSelector, attributes)) return false;
  if (excludeResourceRules.some((rule) => matchesRule(rule, attributes))) return false;
  return resourceRules.length === 0 || resourceRules.some((rule) => matchesRule(rule, attributes));
}

type Selector = MatchResources["objectSelector"];

function isEmpty(selector: Selector): boolean {
  return Object.keys(selector?.matchLabels ?? {}).length === 0 && (selector?.matchExpressions ?? []).length === 0;
}

/** Namespaces themselves are chosen by their own labels; other cluster-wide objects are never left out by a namespace. */
function matchesNamespace(
  selector: Selector,
  { request, object, oldObject }: AdmissionAttributes,
  labels: Labels,
): boolean {
  if (request.apiGroup === "" && request.resource === "namespaces") {
    return matchesLabelSelector(selector, labelsOf(object ?? oldObject) ?? labels);
  }
  return request.namespace === "" || matchesLabelSelector(selector, labels);
}

function matchesObject(selector: Selector, { object, oldObject }: AdmissionAttributes): boolean {
  return [object, oldObject].some((each) => each !== undefined && matchesLabelSelector(selector, labelsOf(each)));
}

function labelsOf(object: KubeObject | undefined): Labels {
  return object?.metadata?.labels;
}

function matchesRule(rule: NamedRuleWithOperations, attributes: AdmissionAttributes): boolean {
  const { request, operation, object } = attributes;
  const name = request.name || object?.metadata?.name || "";
  return (
    matchesScope(rule.scope, attributes) &&
    has(rule.operations, operation) &&
    has(rule.apiGroups, request.apiGroup) &&
    has(rule.apiVersions, request.apiVersion) &&
    (rule.resources ?? []).some((each) => matchesResource(each, request.resource, request.subresource)) &&
    ((rule.resourceNames ?? []).length === 0 || (rule.resourceNames ?? []).includes(name))
  );
}

function matchesScope(scope: string | undefined, { request }: AdmissionAttributes): boolean {
  if (scope === undefined || scope === "*") return true;
  const isClusterWide = request.namespace === "" || (request.apiGroup === "" && request.resource === "namespaces");
  return isClusterWide === (scope === "Cluster");
}

/** "pods", "pods/status", "*", "pods/*", "*\/status". */
function matchesResource(wanted: string, resource: string, subresource: string): boolean {
  const [name = "", part = ""] = wanted.split("/");
  return (name === "*" || name === resource) && (part === "*" || part === subresource);
}

function has(items: readonly string[] | undefined, wanted: string): boolean {
  return (items ?? []).some((item) => item === "*" || item === wanted);
}
