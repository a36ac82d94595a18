/**
 * RBAC's rules: whether one allows a request, and whether some cover others (nobody may grant what he does not have). As pkg/apis/rbac/v1 and component-helpers' auth/rbac/validation.
 */
import type { PolicyRule } from "#api/generated/types/rbac-v1.ts";
import type { RequestInfo } from "#apiserver/request.ts";

/** What an authorizer looks at. */
export type RequestAttributes = Pick<
  RequestInfo,
  "isResourceRequest" | "path" | "verb" | "apiGroup" | "namespace" | "resource" | "subresource" | "name"
>;

/** True when the rule allows what is asked. */
export function ruleAllows(rule: PolicyRule, request: RequestAttributes): boolean {
  if (!hasOrAll(rule.verbs, request.verb)) return false;
  if (!request.isResourceRequest) return (rule.nonResourceURLs ?? []).some((url) => coversUrl(url, request.path));
  return (
    hasOrAll(rule.apiGroups, request.apiGroup) &&
    allowsResource(rule, request) &&
    (isEmpty(rule.resourceNames) || (rule.resourceNames as readonly string[]).includes(request.name))
  );
}

/** The parts of `wanted`, each of one verb and one resource or URL, that no rule of `owned` covers. */
export function uncoveredRules(owned: readonly PolicyRule[], wanted: readonly PolicyRule[]): readonly PolicyRule[] {
  return wanted.flatMap(breakDown).filter((part) => !owned.some((rule) => covers(rule, part)));
}

/** Joins rules that differ in nothing but their verbs: for messages. */
export function compactRules(rules: readonly PolicyRule[]): readonly PolicyRule[] {
  const simple = new Map<string, PolicyRule>();
  const others: PolicyRule[] = [];
  for (const rule of rules) {
    if (rule.apiGroups?.length !== 1 || rule.resources?.length !== 1 || (rule.resourceNames?.length ?? 0) > 1) {
      others.push(rule);
      continue;
    }
    const key = JSON.stringify([rule.apiGroups, rule.resources, rule.resourceNames]);
    const before = simple.get(key);
    simple.set(key, before ? { ...before, verbs: [...before.verbs, ...rule.verbs] } : rule);
  }
  return [...others, ...simple.values()];
}

/** `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`: as upstream's messages show rules. */
export function describeRule(rule: PolicyRule): string {
  const parts: readonly (readonly [string, readonly string[] | undefined])[] = [
    ["APIGroups", rule.apiGroups],
    ["Resources", rule.resources],
    ["NonResourceURLs", rule.nonResourceURLs],
    ["ResourceNames", rule.resourceNames],
    ["Verbs", rule.verbs],
  ];
  const shown = parts
    .filter(([, values]) => !isEmpty(values))
    .map(([name, values]) => `${name}:${quoteList(values ?? [])}`);
  return `{${shown.join(", ")}}`;
}

/** `["a" "b"]`: a list of strings as Go's %q prints it. */
export function quoteList(values: readonly string[]): string {
  return `[${values.map((value) => JSON.stringify(value)).join(" ")}]`;
}

function allowsResource(rule: PolicyRule, request: RequestAttributes): boolean {
  const resources = rule.resources ?? [];
  const { resource, subresource } = request;
  if (subresource === "") return resources.includes("*") || resources.includes(resource);
  return (
    resources.includes("*") ||
    resources.includes(`${resource}/${subresource}`) ||
    resources.includes(`*/${subresource}`)
  );
}

function breakDown(rule: PolicyRule): readonly PolicyRule[] {
  const parts: PolicyRule[] = [];
  for (const group of rule.apiGroups ?? []) {
    for (const resource of rule.resources ?? []) {
      for (const verb of rule.verbs) {
        const part = { apiGroups: [group], resources: [resource], verbs: [verb] };
        if (isEmpty(rule.resourceNames)) parts.push(part);
        else for (const name of rule.resourceNames ?? []) parts.push({ ...part, resourceNames: [name] });
      }
    }
  }
  for (const url of rule.nonResourceURLs ?? []) {
    for (const verb of rule.verbs) parts.push({ nonResourceURLs: [url], verbs: [verb] });
  }
  return parts;
}

function covers(owner: PolicyRule, part: PolicyRule): boolean {
  const hasNames =
    isEmpty(owner.resourceNames) || (!isEmpty(part.resourceNames) && hasAll(owner.resourceNames, part.resourceNames));
  return (
    (owner.verbs.includes("*") || hasAll(owner.verbs, part.verbs)) &&
    (owner.apiGroups?.includes("*") || hasAll(owner.apiGroups, part.apiGroups)) &&
    (part.resources ?? []).every((resource) => coversResource(owner.resources ?? [], resource)) &&
    (part.nonResourceURLs ?? []).every((url) => (owner.nonResourceURLs ?? []).some((own) => coversUrl(own, url))) &&
    hasNames
  );
}

function coversResource(owned: readonly string[], resource: string): boolean {
  if (owned.includes("*") || owned.includes(resource)) return true;
  const slash = resource.indexOf("/");
  return slash >= 0 && owned.includes(`*${resource.slice(slash)}`);
}

function coversUrl(pattern: string, url: string): boolean {
  return pattern === "*" || pattern === url || (pattern.endsWith("*") && url.startsWith(pattern.replace(/\*+$/, "")));
}

function hasOrAll(values: readonly string[] | undefined, wanted: string): boolean {
  return values !== undefined && (values.includes("*") || values.includes(wanted));
}

function hasAll(values: readonly string[] | undefined, wanted: readonly string[] | undefined): boolean {
  return (wanted ?? []).every((value) => values?.includes(value));
}

function isEmpty(values: readonly string[] | undefined): boolean {
  return values === undefined || values.length === 0;
}
