/**
 * Resources that nothing is kept of: a create computes an answer. The contract, and what all of them need.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { RequestInfo, User } from "#apiserver/request.ts";

/** One create of a virtual resource. */
export type VirtualCreate = {
  readonly user: User;
  readonly request: RequestInfo;
  /** The body, decoded and defaulted; frozen or private, it is not changed. */
  readonly object: KubeObject;
  /** Tells the client something (header `Warning: 299`). */
  readonly warn: (text: string) => void;
};

/** Computes the answer. Throws StatusError. */
export type VirtualResource = (create: VirtualCreate) => Promise<KubeObject>;

/** The user as authentication.k8s.io's UserInfo. */
export function userInfoOf(user: User): {
  readonly username: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
} {
  const hasExtra = Object.keys(user.extra ?? {}).length > 0;
  return {
    username: user.name,
    ...(user.uid ? { uid: user.uid } : {}),
    groups: user.groups,
    ...(hasExtra && user.extra ? { extra: user.extra } : {}),
  };
}
