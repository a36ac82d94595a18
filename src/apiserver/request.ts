/**
 * What a request is about and who asks: parsed once at the edge, read by every filter behind it. Names as in apiserver's pkg/endpoints/request.
 */

/** Verbs that authorization decides on. */
export type ApiVerb =
  | "get"
  | "list"
  | "watch"
  | "create"
  | "update"
  | "patch"
  | "delete"
  | "deletecollection"
  /** Access to a proxied path and other verbs that only authorization knows: "impersonate", "bind", "escalate", "approve", "use", … */
  | (string & {});

/** Who asks. As authentication.k8s.io's UserInfo. */
export type User = {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
};

/** What is asked for. For non-resource paths (/healthz, /version) only `verb` (the lower-case method) and `path` count. */
export type RequestInfo = {
  readonly isResourceRequest: boolean;
  readonly path: string;
  readonly verb: ApiVerb;
  readonly apiGroup: string;
  readonly apiVersion: string;
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
};

/** Proves who asks. */
export interface Authenticator {
  /** The user, or undefined when this authenticator finds no credential that it knows. Throws StatusError Unauthorized for one that is wrong. */
  authenticate(
    credentials: Credentials,
  ): Promise<{ readonly user: User; readonly audiences?: readonly string[] } | undefined>;
}

/** What a connection and its headers bring along. */
export type Credentials = {
  readonly bearerToken?: string;
  /** Verified against the client CA by TLS: subject's common name and organisations, DER for hashing. */
  readonly clientCertificate?: {
    readonly commonName: string;
    readonly organizations: readonly string[];
    readonly der: Uint8Array;
  };
  /** Lower-case request headers, for front proxies. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
};

/** Answer of an authorizer. `reason` is shown to people: `RBAC: allowed by ClusterRoleBinding "x" of ClusterRole "y" to User "z"`. */
export type Decision = {
  readonly allowed: boolean;
  readonly denied?: boolean;
  readonly reason: string;
  readonly evaluationError?: string;
};

/** Decides whether a user may do what is asked. */
export interface Authorizer {
  /** Decides one request. Never throws for a refusal; the decision says why. */
  authorize(
    user: User,
    request: RequestInfo,
    context?: { readonly labelSelector?: string; readonly fieldSelector?: string },
  ): Promise<Decision>;
}
