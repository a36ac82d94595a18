/**
 * A client's connection that speaks HTTP/2. Framing, flow control and the checks of RFC 9113 8.2 are node:http2's.
 */
import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { readRequestHead } from "#proxy/http2/request-head.ts";
import type { Deadline } from "#proxy/message/deadlines.ts";
import type { ClientConnection, ConnectionParts } from "./connection-parts.ts";
import { Http2ClientStream } from "./http2-client-stream.ts";

/** Requests at once on one connection. */
const MOST_STREAMS = 100;
const WINDOW_BYTES = 256 * 1024;

export class Http2Connection implements ClientConnection {
  readonly #socket: Socket;
  readonly #parts: ConnectionParts;
  readonly #deadline: Deadline;
  #session: ServerHttp2Session | undefined;
  #streams = 0;
  #requests = 0;
  #isDraining = false;

  constructor(socket: Socket, parts: ConnectionParts) {
    this.#socket = socket;
    this.#parts = parts;
    this.#deadline = parts.deadlines.add(() => this.destroy());
  }

  /** Takes the socket over. What was read already has been put back into it. */
  open(): void {
    const session = performServerHandshake(this.#socket, {
      maxSessionMemory: 64,
      maxHeaderListPairs: 128,
      settings: { maxConcurrentStreams: MOST_STREAMS, initialWindowSize: WINDOW_BYTES, maxHeaderListSize: 60 * 1024 },
      // Clients that open and reset streams as fast as they can (CVE-2023-44487) are sent away.
      strictSingleValueFields: false,
      streamResetBurst: 200,
      streamResetRate: 20,
    } as Parameters<typeof performServerHandshake>[1]);
    this.#session = session;
    this.#deadline.set(this.#parts.bounds.headMs);
    session.on("stream", (stream, _headers, flags, raw?: string[]) => this.#onStream(stream, flags, raw ?? []));
    // `close` follows. Somebody speaks no HTTP/2, or floods.
    session.on("error", () => this.#parts.onRefused("http2"));
    session.on("close", () => {
      this.#deadline.remove();
      this.#parts.onClosed();
    });
  }

  drain(): void {
    this.#isDraining = true;
    this.#session?.close();
  }

  destroy(): void {
    if (this.#session === undefined) this.#socket.destroy();
    else this.#session.destroy();
  }

  #onStream(stream: ServerHttp2Stream, flags: number, raw: readonly string[]): void {
    this.#deadline.clear();
    this.#streams++;
    stream.on("error", () => {
      // `close` follows.
    });
    stream.on("close", () => this.#onStreamClosed());
    const head = readRequestHead(raw, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0);
    if (typeof head === "number") return this.#refuse(stream, head);
    new Http2ClientStream(stream, head, this.#parts).open();
    if (++this.#requests >= this.#parts.bounds.requestsPerConnection && !this.#isDraining) this.drain();
  }

  #onStreamClosed(): void {
    this.#streams--;
    if (this.#streams === 0) this.#deadline.set(this.#parts.bounds.keepAliveMs);
  }

  #refuse(stream: ServerHttp2Stream, status: number): void {
    this.#parts.onRefused("start-line");
    if (stream.destroyed || stream.closed) return;
    stream.respond({ ":status": status }, { endStream: true });
    stream.close(constants.NGHTTP2_NO_ERROR);
  }
}
