/**
 * Handshakes on connections that were accepted: certificate by SNI, protocol by ALPN, a client's certificate where one is asked for. A `tls.Server` that listens nowhere does them.
 */
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { ListenerTls } from "#proxy/config/listener.ts";
import type { Certificates } from "./certificates.ts";

export type TlsParts = {
  readonly certificates: Certificates;
  readonly timeoutMs: number;
  readonly onReady: (socket: TLSSocket) => void;
  readonly onFailed: () => void;
};

export class TlsAccept {
  readonly #tls: ListenerTls;
  readonly #parts: TlsParts;
  readonly #server: Server;
  /** The certificate for those who ask for no name, as it is in the server now. */
  #shown: string | undefined;

  constructor(tls: ListenerTls, parts: TlsParts) {
    this.#tls = tls;
    this.#parts = parts;
    const { certificates, timeoutMs, onReady, onFailed } = parts;
    this.#server = createServer({
      SNICallback: (serverName, done) => done(null, certificates.find(tls, serverName)),
      ALPNProtocols: [...(tls.alpn ?? ["h2", "http/1.1"])],
      handshakeTimeout: timeoutMs,
      minVersion: tls.minVersion ?? "TLSv1.2",
      requestCert: tls.clientCa !== undefined,
      rejectUnauthorized: tls.clientCa !== undefined,
    });
    this.#server.on("secureConnection", onReady);
    this.#server.on("tlsClientError", onFailed);
  }

  /** Begins a handshake. A listener without any certificate sends everybody away. */
  accept(socket: Socket): void {
    const first = this.#parts.certificates.first(this.#tls);
    if (first === undefined) {
      this.#parts.onFailed();
      socket.destroy();
      return;
    }
    if (this.#shown !== first.certificate) {
      const { clientCa, minVersion = "TLSv1.2" } = this.#tls;
      const ca = clientCa === undefined ? {} : { ca: clientCa };
      this.#server.setSecureContext({ cert: first.certificate, key: first.privateKey, minVersion, ...ca });
      this.#shown = first.certificate;
    }
    this.#server.emit("connection", socket);
  }
}
