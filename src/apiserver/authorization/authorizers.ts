/**
 * Joins authorizers into one: the group system:masters may do everything, then each is asked until one allows or denies. And the 403 that a refusal becomes.
 */
import { forbidden, StatusError } from "#apimachinery/status-error.ts";
import { groupMasters } from "#apiserver/authentication/well-known.ts";
import type { Authorizer, Decision, RequestInfo, User } from "#apiserver/request.ts";
import type { RequestAttributes } from "./policy-rule.ts";

/** Asks each in turn, after system:masters. */
export function createAuthorizer(authorizers: readonly Authorizer[]): Authorizer {
  return {
    async authorize(user, request, context): Promise<Decision> {
      if (user.groups.includes(groupMasters)) return { allowed: true, reason: "" };
      const reasons: string[] = [];
      for (const authorizer of authorizers) {
        const decision = await authorizer.authorize(user, request, context);
        if (decision.allowed || decision.denied) return decision;
        if (decision.reason !== "") reasons.push(decision.reason);
      }
      return { allowed: false, reason: reasons.join("\n") };
    },
  };
}

/** 403: `pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default"`, and the authorizers' reason if they gave one. */
export function forbiddenByAuthorizer(user: User, request: RequestInfo, reason: string): StatusError {
  const why = reason === "" ? describeRefusal(user, request) : `${describeRefusal(user, request)}: ${reason}`;
  if (!request.isResourceRequest) {
    return new StatusError({ reason: "Forbidden", code: 403, message: `forbidden: ${why}`, details: {} });
  }
  return forbidden({ group: request.apiGroup, resource: request.resource, name: request.name }, why);
}

function describeRefusal(user: User, request: RequestAttributes): string {
  const quote = JSON.stringify;
  if (!request.isResourceRequest) return `User ${quote(user.name)} cannot ${request.verb} path ${quote(request.path)}`;
  const resource = request.subresource === "" ? request.resource : `${request.resource}/${request.subresource}`;
  const what = `User ${quote(user.name)} cannot ${request.verb} resource ${quote(resource)} in API group ${quote(request.apiGroup)}`;
  return request.namespace === ""
    ? `${what} at the cluster scope`
    : `${what} in the namespace ${quote(request.namespace)}`;
}
