/**
 * The client's side of one request that came by HTTP/2.
 */
import { constants, type ServerHttp2Stream } from "node:http2";
import type { ClientFacts, ClientStream, ResponseStart } from "#proxy/exchange/streams.ts";
import { addFields, emptyHeaders, fieldsOf } from "#proxy/http2/field-lists.ts";
import { sendTrailers } from "#proxy/http2/send-trailers.ts";
import type { Deadline } from "#proxy/message/deadlines.ts";
import type { Fields } from "#proxy/message/fields.ts";
import type { RequestHead } from "#proxy/message/heads.ts";
import { BodySpeed } from "./body-speed.ts";
import type { CarriedRequest, ConnectionParts } from "./connection-parts.ts";

export class Http2ClientStream implements ClientStream {
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
  /** Bytes that were left when somebody looked last. */
  #unread = 0;

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
      if (this.#requestIsWhole && !this.#responseIsWhole) this.#deadline.clear();
      this.#request?.onClientDrain();
    });
    // node:http2 ends a stream before it resets it, which would make half an answer a whole one: without trailers there is no end.
    stream.on("wantTrailers", () => {
      if (this.#responseIsWhole) sendTrailers(stream, this.#trailersToSend);
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
    if (this.#unsent() > 0) this.#watchUnread();
    // Nobody reads the rest of the request (RFC 9113 8.1).
    if (!this.#requestIsWhole) this.#refuseRest();
  }

  abort(): void {
    this.#request = undefined;
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  /** Once the answer is out: a stream that is to be closed without an error cannot be reset any more. */
  #refuseRest(): void {
    const stream = this.#stream;
    const close = () => stream.close(constants.NGHTTP2_NO_ERROR);
    stream.resume();
    if (stream.writableFinished || stream.destroyed) close();
    else stream.once("finish", close);
  }

  /** Bytes that the client has not let us send yet. */
  #unsent(): number {
    return this.#stream.destroyed ? 0 : this.#stream.bufferSize;
  }

  /** Nobody feeds the stream any more, so nobody else would notice that its client does not read. */
  #watchUnread(): void {
    this.#unread = this.#unsent();
    this.#deadline.set(this.#parts.bounds.writeStallMs);
  }

  #isOpen(): boolean {
    return !this.#stream.destroyed && !this.#stream.closed && !this.#stream.writableEnded;
  }

  #onDue(): void {
    if (this.#responseIsWhole && this.#unsent() < this.#unread) return this.#watchUnread();
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
