/**
 * Routes as plain data: which requests, and what becomes of them. Everything here can be written as JSON, sent to another thread, and compared.
 */

/** A route: some hosts on some listeners, and rules for their paths. Replaced as a whole, by name. */
export type RouteConfig = {
  /** Unique among all routes; sources put their own name first. */
  readonly name: string;
  /** Listeners by name. */
  readonly listeners: readonly string[];
  /** `a.example`; `*.example` for exactly one label more (Ingress); `**.example` for one or more (Gateway API); `*` for all others. Without port, in lower case. */
  readonly hosts: readonly string[];
  readonly rules: readonly RouteRule[];
  /** Rules of a higher one come first, whatever they match. Default 0. */
  readonly priority?: number;
  /** Decides between rules that match equally: the smaller comes first (a creation time). Default 0; then the name. */
  readonly order?: number;
};

/** What requests that match become. */
export type RouteRule = {
  /** Any of them. Empty: all requests. */
  readonly matches?: readonly RouteMatch[];
  readonly action: RouteAction;
  readonly requestFields?: FieldChanges;
  readonly responseFields?: FieldChanges;
  readonly rewrite?: Rewrite;
  readonly mirrors?: readonly Mirror[];
  readonly timeouts?: Timeouts;
  readonly retry?: RetryConfig;
  /** Requests with a longer body get 413. Default none. */
  readonly maxBodyBytes?: number;
  /** Says what X-Forwarded-* say in the Forwarded field of RFC 7239 too. Default false. */
  readonly saysForwarded?: boolean;
};

/** All parts that are given must hold. */
export type RouteMatch = {
  readonly path?: PathMatch;
  readonly methods?: readonly string[];
  readonly fields?: readonly ValueMatch[];
  readonly query?: readonly ValueMatch[];
};

/**
 * `exact`: the whole path. `prefix`: whole path elements, a slash at the end does not count. `startsWith`: characters. `regex`: the whole path, RE2.
 * More specific ones win: exact, then the longer prefix, then the longer regex.
 */
export type PathMatch = { readonly kind: "exact" | "prefix" | "startsWith" | "regex"; readonly value: string };

/** A field's or query parameter's value. Names of fields in lower case. */
export type ValueMatch = {
  readonly name: string;
  readonly kind: "exact" | "prefix" | "regex" | "present";
  /** Not needed for `present`. */
  readonly value?: string;
  /** Requests that do not match. */
  readonly isInverted?: boolean;
};

export type RouteAction = ForwardAction | RedirectAction | RespondAction;

export type ForwardAction = {
  readonly kind: "forward";
  /** By weight. Empty, or all weights 0: 500, as Gateway API. */
  readonly backends: readonly Backend[];
};

export type Backend = {
  readonly cluster: string;
  /** Default 1. */
  readonly weight?: number;
  readonly requestFields?: FieldChanges;
  readonly responseFields?: FieldChanges;
  /** The {@link Hold} that keeps requests for this backend until it says go. */
  readonly hold?: string;
  /** Which requests are held. `unserved`: those for which the cluster has no endpoint, or none that could be connected to; when they may go they try again. Default all. */
  readonly holds?: "all" | "unserved";
};

/** What is not given stays as it was asked. */
export type RedirectAction = {
  readonly kind: "redirect";
  readonly scheme?: "http" | "https";
  readonly host?: string;
  readonly port?: number;
  readonly path?: PathChange;
  /** Default 302. */
  readonly status?: 301 | 302 | 303 | 307 | 308;
};

export type RespondAction = {
  readonly kind: "respond";
  readonly status: number;
  readonly fields?: readonly FieldPair[];
  readonly body?: string;
};

export type FieldPair = readonly [name: string, value: string];

/** Removed first, then set, then added. Fields that frame the message or name its host cannot be changed. */
export type FieldChanges = {
  readonly remove?: readonly string[];
  readonly set?: readonly FieldPair[];
  readonly add?: readonly FieldPair[];
};

export type Rewrite = { readonly authority?: string; readonly path?: PathChange };

/**
 * The whole path, or the prefix that the rule matched; `captures` is the whole path too, with `$1` to `$9` as the groups of the regular expression that the rule matched. The query stays.
 */
export type PathChange = { readonly kind: "full" | "prefix" | "captures"; readonly value: string };

/** A copy for another cluster, whose answer nobody waits for. Bodies above 64 KiB are not copied. */
export type Mirror = {
  readonly cluster: string;
  /** Of 100. Default 100. */
  readonly percent?: number;
};

/** Milliseconds; 0: none. */
export type Timeouts = {
  /** From the request's head to the end of the response. Default 0. */
  readonly requestMs?: number;
  /** From the end of the request, or the try's beginning where that is later, to the response's head. Default 0. */
  readonly responseStartMs?: number;
  /** Without any byte in either direction. Default 300 s. */
  readonly idleMs?: number;
};

/**
 * `connect`: no connection came about, so nothing was sent. `reset`: the connection ended before the response began; requests that may not be sent twice are not retried then, unless
 * `retriesNonIdempotent`. `status`: one of `statuses`. `timeout`: the response did not start in time.
 */
export type RetryCondition = "connect" | "reset" | "status" | "timeout";

export type RetryConfig = {
  /** Tries after the first. Default 2. */
  readonly attempts?: number;
  /** Default connect and reset. */
  readonly on?: readonly RetryCondition[];
  readonly statuses?: readonly number[];
  readonly retriesNonIdempotent?: boolean;
  /** Before the n-th retry: a random time up to n times this. Default 25 ms; 0 for the first retry on another endpoint. */
  readonly backoffMs?: number;
};
