/**
 * A client's connection that speaks HTTP/2, and its streams. Framing, flow control and the checks of RFC 9113 8.2 are node:http2's; what becomes an HTTP/1.1 request behind us is looked at as
 * strictly as if it had come as one.
 */
import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { ClientFacts, ClientStream, ResponseStart } from "#proxy/exchange/streams.ts";
import { isAuthority, isFieldValue, isTarget, isToken } from "#proxy/http1/characters.ts";
import { methods } from "#proxy/http1/methods.ts";
import { addFields, emptyHeaders, fieldsOf, lengthIn } from "#proxy/http2/field-lists.ts";
import type { Deadline } from "#proxy/message/deadlines.ts";
import type { Fields } from "#proxy/message/fields.ts";
import { CHUNKED, type RequestHead } from "#proxy/message/heads.ts";
import { BodySpeed } from "./body-speed.ts";
import type { CarriedRequest, ClientConnection, ConnectionParts } from "./connection-parts.ts";

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
    session.on("error", () => {
      // `close` follows.
    });
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
    const head = headOf(raw, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0);
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
    stream.respond({ ":status": status }, { endStream: true });
    stream.close(constants.NGHTTP2_NO_ERROR);
  }
}

/** The head, or the status with which it is refused. */
function headOf(raw: readonly string[], isWhole: boolean): RequestHead | number {
  const pseudo = new Map<string, string>();
  let host: string | undefined;
  let takesTrailers = false;
  let expectsContinue = false;
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index] ?? "";
    const value = raw[index + 1] ?? "";
    if (name.startsWith(":")) pseudo.set(name, value);
    else if (!isToken(name) || !isFieldValue(value)) return 400;
    else if (name === "host") host = value.toLowerCase();
    else if (name === "te") takesTrailers = value.toLowerCase().includes("trailers");
    else if (name === "expect") expectsContinue = value.toLowerCase() === "100-continue";
    else if (name === "transfer-encoding" || name === "connection" || name === "upgrade") return 400;
  }
  const method = pseudo.get(":method") ?? "";
  const target = pseudo.get(":path") ?? "";
  const authority = pseudo.get(":authority")?.toLowerCase() ?? host ?? "";
  if (!methods.has(method) || method === "CONNECT") return 501;
  if (!isTarget(target) || !(target.startsWith("/") || (target === "*" && method === "OPTIONS"))) return 400;
  if (authority === "" || !isAuthority(authority) || (host !== undefined && host !== authority)) return 400;
  return {
    version: "2",
    method,
    target,
    authority,
    fields: fieldsOf(raw, false),
    bodyLength: isWhole ? 0 : (lengthIn(raw) ?? CHUNKED),
    expectsContinue,
    takesTrailers,
    upgrade: undefined,
    keepsAlive: true,
  };
}

/** One request. */
class Http2ClientStream implements ClientStream {
  readonly head: RequestHead;
  readonly #stream: ServerHttp2Stream;
  readonly #parts: ConnectionParts;
  readonly #speed: BodySpeed;
  readonly #deadline: Deadline;
  #request: CarriedRequest | undefined;
  #requestIsWhole: boolean;
  #isPaused = false;
  #isFull = false;
  #trailers: Fields = [];
  #trailersToSend: Fields = [];
  #responseIsWhole = false;

  constructor(stream: ServerHttp2Stream, head: RequestHead, parts: ConnectionParts) {
    this.#stream = stream;
    this.head = head;
    this.#parts = parts;
    this.#speed = new BodySpeed(parts.bounds.bodyBytesPerSecond, parts.clock);
    this.#requestIsWhole = head.bodyLength === 0;
    this.#deadline = parts.deadlines.add(() => this.#onDue());
  }

  get facts(): ClientFacts {
    return this.#parts.facts;
  }

  open(): void {
    const stream = this.#stream;
    const request = this.#parts.carry(this);
    this.#request = request;
    stream.on("drain", () => {
      this.#isFull = false;
      if (this.#requestIsWhole) this.#deadline.clear();
      this.#request?.onClientDrain();
    });
    // node:http2 ends a stream before it resets it, which would make half an answer a whole one: without trailers there is no end.
    stream.on("wantTrailers", () => {
      if (this.#responseIsWhole) stream.sendTrailers(addFields(emptyHeaders(), this.#trailersToSend));
    });
    stream.on("aborted", () => this.#onGone("closed"));
    stream.on("close", () => this.#onClose());
    if (!this.#requestIsWhole) {
      this.#deadline.set(this.#parts.bounds.bodyIdleMs);
      this.#isPaused = this.head.expectsContinue;
    }
    stream.on("trailers", (_headers, _flags, raw?: string[]) => (this.#trailers = fieldsOf(raw ?? [], false)));
    request.start();
    if (this.#request === undefined) return void stream.resume();
    stream.on("data", (bytes: Buffer) => this.#onBody(bytes));
    stream.on("end", () => this.#onEnd());
    if (this.#isPaused) stream.pause();
  }

  #onBody(bytes: Buffer): void {
    this.#deadline.set(this.#parts.bounds.bodyIdleMs);
    if (this.#speed.isTooSlow(bytes.length)) return this.#onDue();
    this.#request?.onRequestBody(bytes);
    this.#request?.onRequestReadDone();
  }

  #onEnd(): void {
    if (this.#requestIsWhole || this.#stream.aborted) return;
    this.#requestIsWhole = true;
    this.#deadline.clear();
    this.#request?.onRequestEnd(this.#trailers);
  }

  pauseBody(): void {
    this.#isPaused = true;
    this.#speed.pause();
    this.#deadline.clear();
    this.#stream.pause();
  }

  resumeBody(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#speed.resume();
    if (!this.#requestIsWhole) this.#deadline.set(this.#parts.bounds.bodyIdleMs);
    this.#stream.resume();
  }

  sendInformational(status: number, fields: Fields): void {
    if (!this.#isOpen() || this.#stream.headersSent) return;
    this.#stream.additionalHeaders(addFields(status1xx(status), fields));
  }

  sendHead({ status, fields, bodyLength }: ResponseStart): void {
    if (!this.#isOpen()) return;
    const headers = emptyHeaders();
    headers[":status"] = status;
    const isBodiless = this.head.method === "HEAD" || status === 204 || status === 304;
    if (bodyLength > 0 && !isBodiless) headers["content-length"] = bodyLength;
    const endStream = bodyLength === 0 || isBodiless;
    try {
      this.#stream.respond(addFields(headers, fields), { endStream, waitForTrailers: !endStream });
    } catch {
      // HTTP/2 knows no such answer: for instance one with two fields of which there may be one.
      this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  }

  write(bytes: Buffer): void {
    if (this.#isOpen() && !this.#stream.write(bytes)) this.#isFull = true;
  }

  flush(): boolean {
    if (this.#isFull) this.#deadline.set(this.#parts.bounds.writeStallMs);
    return !this.#isFull;
  }

  end(trailers: Fields): void {
    this.#request = undefined;
    this.#trailersToSend = trailers;
    this.#responseIsWhole = true;
    if (this.#isOpen()) this.#stream.end();
    // Nobody reads the rest of the request (RFC 9113 8.1).
    if (!this.#requestIsWhole) {
      this.#stream.resume();
      this.#stream.close(constants.NGHTTP2_NO_ERROR);
    }
  }

  abort(): void {
    this.#request = undefined;
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  #isOpen(): boolean {
    return !this.#stream.destroyed && !this.#stream.closed && !this.#stream.writableEnded;
  }

  #onDue(): void {
    this.#parts.onRefused("timeout");
    this.#onGone("timeout");
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  #onClose(): void {
    this.#deadline.remove();
    this.#onGone("closed");
  }

  #onGone(reason: "closed" | "timeout"): void {
    const request = this.#request;
    this.#request = undefined;
    request?.onClientGone(reason);
  }
}

function status1xx(status: number): ReturnType<typeof emptyHeaders> {
  const headers = emptyHeaders();
  headers[":status"] = status;
  return headers;
}
