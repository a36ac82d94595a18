/**
 * Impersonate-User, -Group, -Uid and -Extra-* headers: acting as somebody else, for those who may. As apiserver's impersonation filter.
 */
import { StatusError } from "#apimachinery/status-error.ts";
import { forbiddenByAuthorizer } from "#apiserver/authorization/authorizers.ts";
import {
  groupAuthenticated,
  groupUnauthenticated,
  parseServiceAccountUserName,
  serviceAccountGroups,
  userAnonymous,
} from "#apiserver/authentication/well-known.ts";
import type { Authorizer, RequestInfo, User } from "#apiserver/request.ts";

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

const EXTRA_PREFIX = "impersonate-extra-";

/** The user that the request is to be handled as: the impersonated one, or `user`. Throws Forbidden, and BadRequest for headers without a user. */
export async function impersonated(authorizer: Authorizer, user: User, headers: Headers): Promise<User> {
  const wanted = readHeaders(headers);
  if (wanted === undefined) return user;
  for (const check of checksFor(wanted)) {
    const decision = await authorizer.authorize(user, check);
    if (!decision.allowed) throw forbiddenByAuthorizer(user, check, decision.reason);
  }
  return { ...wanted, groups: completeGroups(wanted) };
}

function readHeaders(headers: Headers): User | undefined {
  const name = first(headers["impersonate-user"]);
  const groups = all(headers["impersonate-group"]);
  const uid = first(headers["impersonate-uid"]);
  const extra: Record<string, readonly string[]> = Object.create(null) as Record<string, readonly string[]>;
  for (const key of Object.keys(headers)) {
    if (key.startsWith(EXTRA_PREFIX)) extra[decodeKey(key.slice(EXTRA_PREFIX.length))] = all(headers[key]);
  }
  const hasExtra = Object.keys(extra).length > 0;
  if (name === "") {
    if (groups.length === 0 && uid === "" && !hasExtra) return undefined;
    const message = "requested [Group UID Extra] impersonation without impersonating a user";
    throw new StatusError({ reason: "InternalError", code: 500, message: `Internal error occurred: ${message}` });
  }
  return { name, groups, ...(uid === "" ? {} : { uid }), ...(hasExtra ? { extra } : {}) };
}

function checksFor(user: User): readonly RequestInfo[] {
  const account = parseServiceAccountUserName(user.name);
  const checks = [
    account === undefined
      ? attributes({ resource: "users", name: user.name })
      : attributes({ resource: "serviceaccounts", namespace: account.namespace, name: account.name }),
    ...user.groups.map((name) => attributes({ resource: "groups", name })),
  ];
  if (user.uid) checks.push(attributes({ apiGroup: "authentication.k8s.io", resource: "uids", name: user.uid }));
  for (const [key, values] of Object.entries(user.extra ?? {})) {
    for (const name of values) {
      checks.push(attributes({ apiGroup: "authentication.k8s.io", resource: "userextras", subresource: key, name }));
    }
  }
  return checks;
}

function attributes(part: Partial<RequestInfo>): RequestInfo {
  return {
    isResourceRequest: true,
    path: "",
    verb: "impersonate",
    apiGroup: "",
    apiVersion: "v1",
    namespace: "",
    resource: "",
    subresource: "",
    name: "",
    ...part,
  };
}

// Everybody is authenticated, but for system:anonymous; service accounts without groups get theirs.
function completeGroups(user: User): readonly string[] {
  const account = parseServiceAccountUserName(user.name);
  const groups =
    user.groups.length === 0 && account !== undefined ? serviceAccountGroups(account.namespace) : user.groups;
  const implied = user.name === userAnonymous ? groupUnauthenticated : groupAuthenticated;
  const isMarked = groups.includes(groupAuthenticated) || groups.includes(groupUnauthenticated);
  return isMarked ? groups : [...groups, implied];
}

function first(value: string | readonly string[] | undefined): string {
  return typeof value === "string" ? value : (value?.[0] ?? "");
}

// Node joins headers of the same name with ", "; group names hold no commas in practice.
function all(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return typeof value === "string" ? value.split(", ") : value;
}

function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}
