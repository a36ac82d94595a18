/**
 * Clusters as plain data: endpoints that serve the same, and how one of them is chosen and spoken to.
 */

export type ClusterConfig = {
  /** Unique among all clusters. */
  readonly name: string;
  readonly endpoints: readonly EndpointConfig[];
  /** Default leastRequest. */
  readonly balance?: Balance;
  /** Default http1. `http2` without TLS begins with the preface at once. */
  readonly protocol?: "http1" | "http2";
  readonly tls?: UpstreamTls;
  /** Default 5 s. */
  readonly connectTimeoutMs?: number;
  /** Idle connections are closed after it. Default 60 s: less than most servers wait. */
  readonly idleTimeoutMs?: number;
  /** Requests at once on one endpoint; more wait. Default none. A bound per worker thread. */
  readonly maxRequestsPerEndpoint?: number;
  /** Requests that may wait for an endpoint; more get 503. Default 1024. */
  readonly maxWaiting?: number;
  /** How long one may wait; then 503. Default 30 s. */
  readonly waitTimeoutMs?: number;
};

export type EndpointConfig = {
  /** An IP address. */
  readonly address: string;
  readonly port: number;
  /** Default 1. */
  readonly weight?: number;
  /** Finishes what it has and gets nothing new. */
  readonly isDraining?: boolean;
};

export type Balance =
  | { readonly kind: "leastRequest" }
  | { readonly kind: "roundRobin" }
  | { readonly kind: "consistentHash"; readonly by: HashSource };

/** What requests are alike that shall meet the same endpoint. Those that have none of it go anywhere. */
export type HashSource =
  | { readonly kind: "field"; readonly name: string }
  | { readonly kind: "cookie"; readonly name: string }
  | { readonly kind: "query"; readonly name: string }
  | { readonly kind: "address" };

/** PEM. */
export type UpstreamTls = {
  /** Whose certificate is expected. Default: the endpoint's address. */
  readonly serverName?: string;
  readonly ca?: string;
  readonly certificate?: string;
  readonly privateKey?: string;
  /** For tests and for those who know what they do. */
  readonly skipsVerification?: boolean;
};
