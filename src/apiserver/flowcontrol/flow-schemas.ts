/**
 * Finds the FlowSchema of a request, as apiserver's pkg/util/flowcontrol/rule.go: the first in order of matchingPrecedence, then of names, of which a rule takes the user and what is asked for.
 */
import type {
  FlowSchema,
  NonResourcePolicyRule,
  PolicyRulesWithSubjects,
  ResourcePolicyRule,
  Subject,
} from "#api/generated/types/flowcontrol-v1.ts";
import type { RequestInfo, User } from "#apiserver/request.ts";

/** In the order in which they are asked. */
export function inOrder(schemas: readonly FlowSchema[]): readonly FlowSchema[] {
  const precedence = ({ spec }: FlowSchema): number => spec?.matchingPrecedence ?? 1000;
  const nameOf = ({ metadata }: FlowSchema): string => metadata?.name ?? "";
  return [...schemas].sort((a, b) => precedence(a) - precedence(b) || (nameOf(a) < nameOf(b) ? -1 : 1));
}

/** True when the schema takes the request. */
export function takes(schema: FlowSchema, info: RequestInfo, user: User): boolean {
  return (schema.spec?.rules ?? []).some((rule) => rulesTake(rule, info, user));
}

/** What tells one flow of a schema from another: the user, the namespace, or nothing. */
export function flowOf(schema: FlowSchema, info: RequestInfo, user: User): string {
  switch (schema.spec?.distinguisherMethod?.type) {
    case "ByUser":
      return user.name;
    case "ByNamespace":
      return info.namespace;
    default:
      return "";
  }
}

function rulesTake(rule: PolicyRulesWithSubjects, info: RequestInfo, user: User): boolean {
  if (!rule.subjects.some((subject) => isSubject(subject, user))) return false;
  return info.isResourceRequest
    ? (rule.resourceRules ?? []).some((each) => resourceRuleTakes(each, info))
    : (rule.nonResourceRules ?? []).some((each) => nonResourceRuleTakes(each, info));
}

function isSubject({ kind, user: wanted, group, serviceAccount }: Subject, user: User): boolean {
  switch (kind) {
    case "User":
      return wanted?.name === "*" || wanted?.name === user.name;
    case "Group":
      return group?.name === "*" || (group !== undefined && user.groups.includes(group.name));
    case "ServiceAccount": {
      const prefix = `system:serviceaccount:${serviceAccount?.namespace}:`;
      return serviceAccount?.name === "*" ? user.name.startsWith(prefix) : user.name === prefix + serviceAccount?.name;
    }
    default:
      return false;
  }
}

function resourceRuleTakes(rule: ResourcePolicyRule, info: RequestInfo): boolean {
  const resource = info.subresource === "" ? info.resource : `${info.resource}/${info.subresource}`;
  const isInPlace = info.namespace === "" ? rule.clusterScope === true : has(rule.namespaces ?? [], info.namespace);
  return isInPlace && has(rule.verbs, info.verb) && has(rule.apiGroups, info.apiGroup) && has(rule.resources, resource);
}

function nonResourceRuleTakes(rule: NonResourcePolicyRule, info: RequestInfo): boolean {
  const isPath = rule.nonResourceURLs.some(
    (url) => url === "*" || url === info.path || (url.endsWith("/*") && info.path.startsWith(url.slice(0, -1))),
  );
  return isPath && has(rule.verbs, info.verb);
}

function has(values: readonly string[], value: string): boolean {
  return values.includes("*") || values.includes(value);
}
