/**
 * What a connection and its headers bring along to prove who asks.
 */
import type { PeerCertificate, TLSSocket } from "node:tls";
import { takeWebSocketBearer } from "#apiserver/authentication/web-socket-bearer.ts";
import type { Credentials } from "#apiserver/request.ts";

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;
type ClientCertificate = NonNullable<Credentials["clientCertificate"]>;

/** Reads the certificate once for each connection. */
export class CertificateReader {
  readonly #certificates = new WeakMap<object, { readonly certificate: ClientCertificate | undefined }>();

  /** The verified client certificate of a connection, or undefined. */
  read(socket: object): ClientCertificate | undefined {
    const known = this.#certificates.get(socket);
    if (known !== undefined) return known.certificate;
    const certificate = readCertificate(socket as TLSSocket);
    this.#certificates.set(socket, { certificate });
    return certificate;
  }
}

/** Credentials of a request. */
export function credentialsOf(headers: Headers, certificate: ClientCertificate | undefined): Credentials {
  const bearerToken = bearerTokenOf(headers["authorization"]) ?? webSocketTokenOf(headers["sec-websocket-protocol"]);
  return {
    ...(bearerToken === undefined ? {} : { bearerToken }),
    ...(certificate === undefined ? {} : { clientCertificate: certificate }),
    headers,
  };
}

function readCertificate(socket: TLSSocket): ClientCertificate | undefined {
  if (!socket.authorized) return undefined;
  // Null when the connection has ended meanwhile, which its type does not say.
  const peer = socket.getPeerCertificate() as Partial<PeerCertificate> | null;
  if (peer?.subject === undefined || peer.raw === undefined) return undefined;
  const { CN, O } = peer.subject as { readonly CN?: string | string[]; readonly O?: string | string[] };
  const commonName = Array.isArray(CN) ? (CN[0] ?? "") : (CN ?? "");
  return { commonName, organizations: O === undefined ? [] : Array.isArray(O) ? O : [O], der: peer.raw };
}

/** Browsers cannot send an Authorization header with a WebSocket. The sub-protocol that carries the token is never agreed on, so it does not come back. */
function webSocketTokenOf(protocols: string | readonly string[] | undefined): string | undefined {
  return typeof protocols === "string" ? takeWebSocketBearer(protocols)?.bearerToken : undefined;
}

function bearerTokenOf(authorization: string | readonly string[] | undefined): string | undefined {
  if (typeof authorization !== "string") return undefined;
  const match = /^\s*bearer\s+(\S+)\s*$/i.exec(authorization);
  return match?.[1];
}
