/**
 * Names of users and groups that Kubernetes itself knows. As in apiserver's pkg/authentication/user and serviceaccount.
 */
import type { User } from "#apiserver/request.ts";

export const groupAuthenticated = "system:authenticated";
export const groupUnauthenticated = "system:unauthenticated";
/** May do everything; no authorizer is asked. */
export const groupMasters = "system:masters";
export const groupNodes = "system:nodes";
export const groupServiceAccounts = "system:serviceaccounts";
export const userAnonymous = "system:anonymous";
export const nodeUserPrefix = "system:node:";
const serviceAccountUserPrefix = "system:serviceaccount:";

/** Keys of a user's `extra`. */
export const extraKey = {
  credentialId: "authentication.kubernetes.io/credential-id",
  podName: "authentication.kubernetes.io/pod-name",
  podUid: "authentication.kubernetes.io/pod-uid",
  nodeName: "authentication.kubernetes.io/node-name",
  nodeUid: "authentication.kubernetes.io/node-uid",
} as const;

/** A service account as a user: `system:serviceaccount:NAMESPACE:NAME`. */
export function serviceAccountUserName(namespace: string, name: string): string {
  return `${serviceAccountUserPrefix}${namespace}:${name}`;
}

/** The groups of a service account. */
export function serviceAccountGroups(namespace: string): readonly string[] {
  return [groupServiceAccounts, `${groupServiceAccounts}:${namespace}`];
}

/** Namespace and name of a service account's user name, or undefined for other users. */
export function parseServiceAccountUserName(
  userName: string,
): { readonly namespace: string; readonly name: string } | undefined {
  if (!userName.startsWith(serviceAccountUserPrefix)) return undefined;
  const [namespace, name, ...rest] = userName.slice(serviceAccountUserPrefix.length).split(":");
  return namespace && name && rest.length === 0 ? { namespace, name } : undefined;
}

/** The node's name of a user that is a node: named `system:node:NAME` and in the group system:nodes. */
export function nodeNameOf(user: User): string | undefined {
  if (!user.name.startsWith(nodeUserPrefix) || !user.groups.includes(groupNodes)) return undefined;
  return user.name.slice(nodeUserPrefix.length) || undefined;
}
