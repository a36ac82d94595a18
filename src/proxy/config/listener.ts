/**
 * Listeners and certificates as plain data: where connections are taken, and with what bounds.
 */

export type ListenerConfig = {
  /** Unique among all listeners. */
  readonly name: string;
  /** A file descriptor is one that listens already, for instance in another network namespace. */
  readonly address: { readonly host: string; readonly port: number } | { readonly fileDescriptor: number };
  readonly tls?: ListenerTls;
  /** Serves what routes say of the listener of this name: one place that is reached at several addresses. Default its own. */
  readonly routesOf?: string;
  /** Who comes before us says the truth in X-Forwarded-*. Default false: they are replaced. */
  readonly trustsForwarded?: boolean;
  readonly bounds?: Partial<ConnectionBounds>;
};

export type ListenerTls = {
  /** Names of certificates; the one whose hosts fit the client's SNI is shown, else the first. */
  readonly certificates: readonly string[];
  /** All others that are known may be shown too, where their hosts fit. Default false. */
  readonly showsAll?: boolean;
  /** Default TLSv1.2. */
  readonly minVersion?: "TLSv1.2" | "TLSv1.3";
  /** Clients must show a certificate of this CA (PEM). */
  readonly clientCa?: string;
  /** Default h2 and http/1.1. */
  readonly alpn?: readonly ("h2" | "http/1.1")[];
};

/** A certificate with its key, PEM. Replaced under its name without closing a connection. */
export type CertificateConfig = {
  readonly name: string;
  readonly certificate: string;
  readonly privateKey: string;
};

/** What one client may take. Milliseconds. */
export type ConnectionBounds = {
  /** From the first byte, or from the connection's beginning, to the end of a request's head. Default 10 s. */
  readonly headMs: number;
  /** Between two pieces of a request's body while we wait for it. Default 60 s. */
  readonly bodyIdleMs: number;
  /** The least speed of a body, in bytes a second, after the first 10 s. Default 100: below it somebody trickles on purpose. */
  readonly bodyBytesPerSecond: number;
  /** Between two requests. Default 75 s. */
  readonly keepAliveMs: number;
  /** How long a client may leave a response unread. Default 60 s. */
  readonly writeStallMs: number;
  /** Without a byte in an upgraded connection. Default 1 h. */
  readonly tunnelIdleMs: number;
  /** Connections at once; more are closed. Default 50,000. A bound per worker thread. */
  readonly connections: number;
  /** Requests on one connection; then it is closed. Default none. */
  readonly requestsPerConnection: number;
};

export const defaultBounds: ConnectionBounds = {
  headMs: 10_000,
  bodyIdleMs: 60_000,
  bodyBytesPerSecond: 100,
  keepAliveMs: 75_000,
  writeStallMs: 60_000,
  tunnelIdleMs: 3_600_000,
  connections: 50_000,
  requestsPerConnection: Number.POSITIVE_INFINITY,
};
