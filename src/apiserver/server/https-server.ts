/**
 * The HTTPS server: HTTP/2 and HTTP/1.1 on one port, chosen by ALPN, client certificates asked for but not demanded. Settings are bounded on purpose; see the comments.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { StatusError } from "#apimachinery/status-error.ts";
import type { Clock } from "#component-base/clock.ts";
import type { ApiRequest, RequestContext } from "#apiserver/api-request.ts";
import { type ChainParts, admit, asStatusError, runRequest } from "#apiserver/filters/chain.ts";
import type { Connecters } from "./connecter.ts";
import { CertificateReader } from "./credentials.ts";
import type { Exchange } from "./exchange.ts";
import { createHttp1Exchange, requestOf } from "./http1-exchange.ts";
import { createHttp2Exchange } from "./http2-exchange.ts";
import { ResetGuard } from "./reset-guard.ts";
import { type WriterParts, writeAnswer, writeError } from "./write-answer.ts";

/** PEM. */
export type ServingCertificate = { readonly certificate: string; readonly key: string };

/** Where and with what to listen. */
export type HttpsOptions = {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly serving: ServingCertificate;
  /** PEM of the authorities whose client certificates are verified. */
  readonly clientCa: string;
  /** How long a client may take for a request's head, or do nothing at all. Default 32 and 90 s, as kube-apiserver. */
  readonly patience?: Patience;
};

/** Milliseconds. */
export type Patience = { readonly headerMs: number; readonly idleMs: number };

/** What the server hands requests to. */
export type HttpsParts = { readonly chain: ChainParts; readonly writer: WriterParts; readonly connecters: Connecters };

// As upstream's secure_serving.go; more of each would let one client hold the server's memory, or its connections for ever.
const MAX_STREAMS = 100;
const HEADER_BYTES = 1 << 20;
const UPLOAD_WINDOW_BYTES = 256 * 1024;
/** Streams that a client may reset at once, and per second: a client that gives up has a hundred of them at most. */
const RESET_BURST = 200;
const RESETS_PER_SECOND = 50;
/** How long streams are handled in the turn of the event loop in which they came, and how many of those that had to wait are handled in one. */
const TURN_MS = 4;
const WAITING_PER_TURN = 16;
const HEADER_TIMEOUT_MS = 32_000;
const IDLE_TIMEOUT_MS = 90_000;
// Node's default (10 MB) kills every stream of a connection when one list of 35 MB is read slowly.
const SESSION_MEMORY_MB = 256;

/** Listens for HTTPS requests. */
export class HttpsServer {
  readonly #parts: HttpsParts;
  readonly #certificates = new CertificateReader();
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #sockets = new Set<Duplex>();
  readonly #guard = new ResetGuard();
  readonly #servers: Http2SecureServer[] = [];
  #waiting: { readonly stream: ServerHttp2Stream; readonly headers: IncomingHttpHeaders }[] = [];
  /** When this turn's first stream came. */
  #turnStartMs: number | undefined;

  constructor(parts: HttpsParts) {
    this.#parts = parts;
  }

  /** Begins to listen; may be called for several addresses. Gives the port. */
  async listen(options: HttpsOptions): Promise<number> {
    const patience = options.patience ?? { headerMs: HEADER_TIMEOUT_MS, idleMs: IDLE_TIMEOUT_MS };
    const server = createSecureServer({
      allowHTTP1: true,
      cert: options.serving.certificate,
      key: options.serving.key,
      ca: options.clientCa,
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: "TLSv1.2",
      maxSessionMemory: SESSION_MEMORY_MB,
      settings: {
        maxConcurrentStreams: MAX_STREAMS,
        initialWindowSize: UPLOAD_WINDOW_BYTES,
        maxHeaderListSize: HEADER_BYTES,
      },
      maxHeaderSize: HEADER_BYTES,
      streamResetBurst: RESET_BURST,
      streamResetRate: RESETS_PER_SECOND,
      handshakeTimeout: patience.headerMs,
      headersTimeout: patience.headerMs,
      // Bodies have as long as their requests, see filters/chain.ts; what is proxied has no limit.
      requestTimeout: 0,
      keepAliveTimeout: patience.idleMs,
      connectionsCheckingInterval: Math.min(patience.headerMs, 5000),
    } as Parameters<typeof createSecureServer>[0]);
    this.#attach(server, patience);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port, options.host, () => resolve());
    });
    this.#servers.push(server);
    return (server.address() as AddressInfo).port;
  }

  /** Replaces the serving certificate for new connections. */
  renew(serving: ServingCertificate, clientCa: string): void {
    for (const server of this.#servers) {
      server.setSecureContext({ cert: serving.certificate, key: serving.key, ca: clientCa });
    }
  }

  /** Stops listening and cuts all connections. */
  async close(): Promise<void> {
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
    this.#servers.length = 0;
  }

  #attach(server: Http2SecureServer, patience: Patience): void {
    server.on("request", (message: unknown, response: unknown) =>
      this.#serve(createHttp1Exchange(message as IncomingMessage, response as ServerResponse, this.#certificates)),
    );
    // The listener above has made Node add its compatibility layer for HTTP/2: take it away, for HTTP/1.1 it is not needed.
    server.removeAllListeners("stream");
    server.on("stream", (stream, headers) => this.#arrive(stream, headers));
    server.on("session", (session) => {
      this.#sessions.add(session);
      session.once("close", () => this.#sessions.delete(session));
      session.on("error", () => {});
      session.setLocalWindowSize(UPLOAD_WINDOW_BYTES * MAX_STREAMS);
      endWhenIdle(session, patience, this.#parts.chain.clock);
    });
    server.on("secureConnection", (socket) => {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.once("close", () => this.#sockets.delete(socket));
      socket.on("error", () => {});
    });
    server.on(
      "upgrade",
      (message: IncomingMessage, socket: Duplex, head: Buffer) => void this.#upgrade({ message, socket, head }),
    );
    server.on("tlsClientError", () => {});
    server.on("sessionError", () => {});
  }

  // Of a burst most wait for later turns, and those that their client has reset by then are not handled at all.
  #arrive(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    if (!this.#guard.arrived(stream)) return;
    if (this.#turnStartMs === undefined) {
      this.#turnStartMs = performance.now();
      setImmediate(() => this.#nextTurn());
    }
    const mustWait = this.#waiting.length > 0 || performance.now() - this.#turnStartMs > TURN_MS;
    if (mustWait) this.#waiting.push({ stream, headers });
    else this.#serve(createHttp2Exchange(stream, headers, this.#certificates));
  }

  // What they go on to do comes after this, so it is their number that is bounded.
  #nextTurn(): void {
    this.#turnStartMs = undefined;
    const due = this.#waiting.splice(0, WAITING_PER_TURN);
    for (const { stream, headers } of due)
      if (!stream.destroyed && !stream.closed) this.#serve(createHttp2Exchange(stream, headers, this.#certificates));
    if (this.#waiting.length === 0) return;
    this.#turnStartMs = performance.now();
    setImmediate(() => this.#nextTurn());
  }

  #serve(exchange: Exchange): void {
    void this.#handle(exchange).catch(() => exchange.abort());
  }

  async #handle(exchange: Exchange): Promise<void> {
    const auditId = auditIdOf(exchange.request);
    try {
      const connecter = this.#parts.connecters.find(exchange.request);
      if (connecter !== undefined) {
        const context = await admit(this.#parts.chain, exchange.request);
        return await connecter.serve({ type: "http", exchange, context });
      }
      const answer = await runRequest(this.#parts.chain, exchange.request);
      await writeAnswer(this.#parts.writer, exchange, { ...answer, auditId });
    } catch (error) {
      const status = asStatusError(this.#parts.chain.logger, error, exchange.request);
      // Half an answer cannot be taken back: the client must see that it is not whole.
      if (exchange.hasBegun) return exchange.abort();
      writeError(this.#parts.writer, exchange, status, auditId);
    }
  }

  async #upgrade(upgrade: {
    readonly message: IncomingMessage;
    readonly socket: Duplex;
    readonly head: Buffer;
  }): Promise<void> {
    const { message, socket } = upgrade;
    socket.on("error", () => {});
    const request = requestOf(message, this.#certificates);
    try {
      const connecter = this.#parts.connecters.find(request);
      const context: RequestContext = await admit(this.#parts.chain, request);
      if (connecter === undefined) throw noUpgrade();
      await connecter.serve({ type: "upgrade", ...upgrade, context });
    } catch (error) {
      refuseUpgrade(socket, asStatusError(this.#parts.chain.logger, error, request));
    }
  }
}

// Ends a connection on which nothing was under way for long, whatever bytes trickle in. The timer is set anew only when it fires.
function endWhenIdle(session: ServerHttp2Session, patience: Patience, clock: Clock): void {
  let open = 0;
  let idleSinceMs = clock.now();
  let mayIdleMs = patience.headerMs;
  const look = (): void => {
    if (session.destroyed) return;
    const leftMs = open > 0 ? mayIdleMs : idleSinceMs + mayIdleMs - clock.now();
    if (leftMs <= 0) session.destroy();
    else timer = clock.setTimer(leftMs, look);
  };
  let timer = clock.setTimer(mayIdleMs, look);
  session.once("close", () => timer.clear());
  session.on("stream", (stream) => {
    open++;
    mayIdleMs = patience.idleMs;
    stream.once("close", () => {
      open--;
      idleSinceMs = clock.now();
    });
  });
}

// The client's own id is kept, when it is one that can be logged.
function auditIdOf(request: ApiRequest): string {
  const given = request.headers["audit-id"];
  return typeof given === "string" && /^[\x21-\x7e]{1,64}$/.test(given) ? given : randomUUID();
}

function noUpgrade(): StatusError {
  return new StatusError({ reason: "BadRequest", code: 400, message: "this resource cannot be upgraded to a stream" });
}

function refuseUpgrade(socket: Duplex, error: StatusError): void {
  const body = JSON.stringify(error.toStatus());
  const head = `HTTP/1.1 ${error.code} ${error.reason}\r\ncontent-type: application/json\r\nconnection: close\r\n`;
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}
