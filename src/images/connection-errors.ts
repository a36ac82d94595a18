/**
 * What went wrong with a connection, in the words that users of registries know (Go's, as containerd shows them) and search for.
 */
import { STATUS_CODES } from "node:http";

type SocketError = NodeJS.ErrnoException & {
  readonly address?: string;
  readonly port?: number;
  readonly hostname?: string;
  readonly errors?: readonly SocketError[];
};

const refusals: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ETIMEDOUT: "connection timed out",
};

const certificateFaults: Readonly<Record<string, string>> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "certificate signed by unknown authority",
  UNABLE_TO_GET_ISSUER_CERT: "certificate signed by unknown authority",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "certificate signed by unknown authority",
  SELF_SIGNED_CERT_IN_CHAIN: "certificate signed by unknown authority",
  DEPTH_ZERO_SELF_SIGNED_CERT: "certificate signed by unknown authority",
  CERT_HAS_EXPIRED: "certificate has expired or is not yet valid",
  CERT_NOT_YET_VALID: "certificate has expired or is not yet valid",
};

/** « dial tcp 10.0.0.1:5000: connect: connection refused » for what the system calls ECONNREFUSED. */
export function describeConnectionError(error: unknown, target: URL): string {
  // Several addresses were tried at once: the first one's failure speaks for all.
  const cause = (error as SocketError).errors?.[0] ?? (error as SocketError);
  const code = cause.code ?? "";
  const address = cause.address === undefined ? target.host : `${cause.address}:${cause.port ?? ""}`;
  const refusal = refusals[code];
  if (refusal !== undefined) return `dial tcp ${address}: connect: ${refusal}`;
  if (code === "UND_ERR_CONNECT_TIMEOUT") return `dial tcp ${address}: i/o timeout`;
  if (code === "ENOTFOUND") return `dial tcp: lookup ${cause.hostname ?? target.hostname}: no such host`;
  if (code === "EAI_AGAIN")
    return `dial tcp: lookup ${cause.hostname ?? target.hostname}: Temporary failure in name resolution`;
  const fault = certificateFaults[code];
  if (fault !== undefined) return `tls: failed to verify certificate: x509: ${fault}`;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return `tls: failed to verify certificate: x509: certificate is not valid for ${target.hostname}`;
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG")
    return "http: server gave HTTP response to HTTPS client";
  if (code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT")
    return "net/http: timeout awaiting response headers";
  return cause.message || code || String(error);
}

/** « 404 Not Found ». */
export function statusLine(status: number): string {
  return `${status} ${STATUS_CODES[status] ?? ""}`.trim();
}
