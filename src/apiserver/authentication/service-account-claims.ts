/**
 * What stands in a service account's token, and whether it still holds: the account and the object that the token is bound to must exist with the same uid.
 * As kube-apiserver's pkg/serviceaccount/claims.go and legacy.go.
 */
import { timingSafeEqual } from "node:crypto";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { User } from "#apiserver/request.ts";
import { extraKey, serviceAccountGroups, serviceAccountUserName } from "./well-known.ts";

/** Finds the objects that tokens are bound to, as they are now. Nodes have namespace "". */
export type FindBoundObject = (
  resource: "serviceaccounts" | "pods" | "secrets" | "nodes",
  namespace: string,
  name: string,
) => Promise<KubeObject | undefined> | KubeObject | undefined;

/** Points to an object by name and uid. */
export type ClaimRef = { readonly name: string; readonly uid?: string };

/** The claim `kubernetes.io`. */
export type KubernetesClaim = {
  readonly namespace: string;
  readonly serviceaccount: ClaimRef;
  readonly pod?: ClaimRef;
  readonly secret?: ClaimRef;
  readonly node?: ClaimRef;
  /** Seconds since 1970 after which a use of the token is noted. */
  readonly warnafter?: number;
};

/** All claims of a token; times in seconds since 1970. */
export type ServiceAccountClaims = {
  readonly aud: readonly string[];
  readonly exp: number;
  readonly iat: number;
  readonly iss: string;
  readonly jti: string;
  readonly "kubernetes.io": KubernetesClaim;
  readonly nbf: number;
  readonly sub: string;
};

/** The token cannot be used; the message says why, for the log and for TokenReview. */
export class TokenRefused extends Error {
  readonly kind = "TokenRefused";
}

/** Clocks may differ by this much; objects that were deleted longer ago invalidate their tokens. */
const leewayMs = 60_000;

/** Throws {@link TokenRefused} unless the token is valid at this time. */
export function checkTimes(
  claims: { readonly exp?: number; readonly nbf?: number; readonly iat?: number },
  nowMs: number,
): void {
  if (claims.exp !== undefined && nowMs - leewayMs > claims.exp * 1000)
    throw new TokenRefused("service account token has expired");
  if (claims.nbf !== undefined && nowMs + leewayMs < claims.nbf * 1000)
    throw new TokenRefused("service account token is not valid yet");
  if (claims.iat !== undefined && nowMs + leewayMs < claims.iat * 1000)
    throw new TokenRefused("service account token is issued in the future");
}

/** The user of a token whose signature and audience were checked. Throws {@link TokenRefused} when an object that it names is gone. */
export async function resolveClaims(
  claims: { readonly jti?: string; readonly "kubernetes.io": KubernetesClaim },
  find: FindBoundObject,
  nowMs: number,
): Promise<User> {
  const { namespace, serviceaccount, pod, secret, node } = claims["kubernetes.io"];
  await checkServiceAccount(namespace, serviceaccount, find, nowMs);
  if (secret) await checkBound("secret", await find("secrets", namespace, secret.name), secret, nowMs);
  if (pod) await checkBound("pod", await find("pods", namespace, pod.name), pod, nowMs);
  // A pod's token carries its node only as information: the node's own life does not bind it.
  if (node && !pod) await checkBound("node", await find("nodes", "", node.name), node, nowMs);
  return {
    name: serviceAccountUserName(namespace, serviceaccount.name),
    uid: serviceaccount.uid ?? "",
    groups: serviceAccountGroups(namespace),
    extra: extraOf(claims.jti, pod, node),
  };
}

/** Claims of a token that a Secret of type kubernetes.io/service-account-token holds: no expiry, no audience. */
export type LegacyClaims = {
  readonly iss: "kubernetes/serviceaccount";
  readonly "kubernetes.io/serviceaccount/namespace": string;
  readonly "kubernetes.io/serviceaccount/secret.name": string;
  readonly "kubernetes.io/serviceaccount/service-account.name": string;
  readonly "kubernetes.io/serviceaccount/service-account.uid": string;
  readonly sub: string;
};

/** The user of a Secret's token. Throws {@link TokenRefused} when the Secret is gone or holds another token. */
export async function resolveLegacyClaims(
  claims: LegacyClaims,
  token: string,
  find: FindBoundObject,
  nowMs: number,
): Promise<User> {
  const namespace = claims["kubernetes.io/serviceaccount/namespace"];
  const name = claims["kubernetes.io/serviceaccount/service-account.name"];
  const uid = claims["kubernetes.io/serviceaccount/service-account.uid"];
  if (claims.sub !== serviceAccountUserName(namespace, name)) throw new TokenRefused("sub claim is invalid");
  const secret = await find("secrets", namespace, claims["kubernetes.io/serviceaccount/secret.name"]);
  const held = (secret as { readonly data?: Readonly<Record<string, string>> } | undefined)?.data?.["token"] ?? "";
  if (!secret || isGone(secret, nowMs) || !isSame(Buffer.from(held, "base64"), Buffer.from(token))) {
    throw new TokenRefused("service account token has been invalidated");
  }
  await checkServiceAccount(namespace, { name, uid }, find, nowMs);
  return { name: claims.sub, uid, groups: serviceAccountGroups(namespace) };
}

async function checkServiceAccount(
  namespace: string,
  ref: ClaimRef,
  find: FindBoundObject,
  nowMs: number,
): Promise<void> {
  const account = await find("serviceaccounts", namespace, ref.name);
  if (!account) throw new TokenRefused(`serviceaccounts "${ref.name}" not found`);
  if (account.metadata?.uid !== ref.uid) {
    throw new TokenRefused(`service account UID (${account.metadata?.uid}) does not match claim (${ref.uid})`);
  }
  if (isGone(account, nowMs)) throw new TokenRefused(`service account ${namespace}/${ref.name} has been deleted`);
}

async function checkBound(what: string, object: KubeObject | undefined, ref: ClaimRef, nowMs: number): Promise<void> {
  if (!object) throw new TokenRefused("service account token has been invalidated");
  if (object.metadata?.uid !== ref.uid) {
    throw new TokenRefused(
      `${what} UID (${object.metadata?.uid}) does not match service account ${what} ref claim (${ref.uid})`,
    );
  }
  if (isGone(object, nowMs)) throw new TokenRefused("service account token has been invalidated");
}

function isGone(object: KubeObject, nowMs: number): boolean {
  const deleted = object.metadata?.deletionTimestamp;
  return deleted !== undefined && Date.parse(deleted) < nowMs - leewayMs;
}

function extraOf(
  jti: string | undefined,
  pod: ClaimRef | undefined,
  node: ClaimRef | undefined,
): Readonly<Record<string, readonly string[]>> {
  return {
    ...(jti ? { [extraKey.credentialId]: [`JTI=${jti}`] } : {}),
    ...(pod ? { [extraKey.podName]: [pod.name], [extraKey.podUid]: [pod.uid ?? ""] } : {}),
    ...(node ? { [extraKey.nodeName]: [node.name], ...(node.uid ? { [extraKey.nodeUid]: [node.uid] } : {}) } : {}),
  };
}

function isSame(left: Buffer, right: Buffer): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}
