/**
 * A client's connection that speaks HTTP/1.1: one request after the other, pipelined ones too, answered in their order. Bounds what a client can keep of us: time for a head, speed of a body, bytes
 * that wait, time without reading. After anything that is not clean the connection ends.
 */
import type { Socket } from "node:net";
import type { ClientFacts, ClientStream, ResponseStart } from "#proxy/exchange/streams.ts";
import { BadMessage } from "#proxy/http1/bad-message.ts";
import { BodyReader } from "#proxy/http1/body-reader.ts";
import type { BodySink } from "#proxy/http1/chunk-decoder.ts";
import { defaultLimits } from "#proxy/http1/limits.ts";
import { RequestReader } from "#proxy/http1/request-reader.ts";
import { chunkLine, endOfChunksText, responseHeadText } from "#proxy/http1/serializer.ts";
import { SocketWriter } from "#proxy/http1/socket-writer.ts";
import { reasonOf } from "#proxy/exchange/local-reply.ts";
import type { Deadline } from "#proxy/message/deadlines.ts";
import type { Fields } from "#proxy/message/fields.ts";
import { CHUNKED, type RequestHead, UNTIL_CLOSE } from "#proxy/message/heads.ts";
import { BodySpeed } from "./body-speed.ts";
import type { CarriedRequest, ClientConnection, ConnectionParts } from "./connection-parts.ts";

/** Bytes that are read ahead of a request that is under way. */
const HELD_BYTES = 64 * 1024;
/** How long the client's last bytes are read and dropped, so that its system does not throw our answer away with a reset. */
const LINGER_MS = 2_000;

type Phase = "idle" | "head" | "body" | "response" | "tunnel" | "lingering" | "closed";

export class Http1Connection implements ClientConnection, ClientStream, BodySink {
  readonly #socket: Socket;
  readonly #parts: ConnectionParts;
  readonly #writer: SocketWriter;
  readonly #reader = new RequestReader(defaultLimits);
  readonly #body = new BodyReader(defaultLimits);
  readonly #deadline: Deadline;
  #phase: Phase = "idle";
  #held: Buffer | undefined;
  #head: RequestHead | undefined;
  #request: CarriedRequest | undefined;
  #speed: BodySpeed | undefined;
  #isBodyPaused = false;
  #isDraining = false;
  #isProcessing = false;
  #isStalled = false;
  /** How the response that is under way is framed. */
  #framing: "chunks" | "plain" | "none" = "none";
  #hasHead = false;
  #closesAfter = false;
  #requests = 0;

  constructor(socket: Socket, parts: ConnectionParts) {
    this.#socket = socket;
    this.#parts = parts;
    this.#writer = new SocketWriter(socket);
    this.#deadline = parts.deadlines.add(() => this.#onDue());
  }

  /** Listens to the socket, from `first` on, which was read already. */
  open(first: Buffer | undefined): void {
    const socket = this.#socket;
    this.#deadline.set(this.#parts.bounds.headMs);
    socket.on("data", (bytes: Buffer) => this.#read(bytes));
    socket.on("drain", () => this.#onDrain());
    socket.on("end", () => this.#onEnd());
    socket.on("error", () => {
      // `close` follows and tells everybody.
    });
    socket.on("close", () => this.#onClose());
    if (first !== undefined) this.#read(first);
  }

  get head(): RequestHead {
    return this.#head as RequestHead;
  }

  get facts(): ClientFacts {
    return this.#parts.facts;
  }

  // ---- reading

  #read(bytes: Buffer): void {
    if (this.#phase === "lingering" || this.#phase === "closed") return;
    if (this.#phase === "tunnel") return this.#readTunnel(bytes);
    const all = this.#held === undefined ? bytes : Buffer.concat([this.#held, bytes]);
    this.#held = undefined;
    this.#process(all);
  }

  #readTunnel(bytes: Buffer): void {
    this.#deadline.set(this.#parts.bounds.tunnelIdleMs);
    this.#request?.onRequestBody(bytes);
    this.#request?.onRequestReadDone();
  }

  #process(bytes: Buffer): void {
    this.#isProcessing = true;
    let at = 0;
    try {
      at = this.#readMessages(bytes);
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error;
      return this.#refuse(error);
    } finally {
      this.#isProcessing = false;
    }
    if (at < bytes.length) this.#hold(at === 0 ? bytes : bytes.subarray(at));
    else if (this.#phase === "idle" && !this.#socket.destroyed && this.#socket.isPaused()) this.#socket.resume();
    this.#request?.onRequestReadDone();
  }

  /** Reads as far as it may and gives how far that was. */
  #readMessages(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length) {
      if (this.#request === undefined) {
        if (this.#phase === "lingering" || this.#phase === "closed") return bytes.length;
        const read = this.#reader.read(bytes, at);
        if (read === undefined) {
          this.#awaitHead();
          return at;
        }
        at = read.end;
        this.#begin(read.head);
      } else if (this.#body.isReading) {
        if (this.#isBodyPaused) return at;
        const before = at;
        at = this.#body.read(bytes, at, this);
        this.#onProgress(at - before);
      } else if ((this.#phase as Phase) === "tunnel") {
        this.#request.onRequestBody(bytes.subarray(at));
        return bytes.length;
      } else return at;
    }
    return at;
  }

  #hold(bytes: Buffer): void {
    if (this.#phase === "lingering" || this.#phase === "closed") return;
    this.#held = bytes;
    if (bytes.length > HELD_BYTES && this.#request !== undefined) this.#socket.pause();
  }

  #awaitHead(): void {
    if (this.#phase !== "idle") return;
    this.#phase = "head";
    // The first head's time runs from the connection's beginning.
    if (this.#requests > 0) this.#deadline.set(this.#parts.bounds.headMs);
  }

  #begin(head: RequestHead): void {
    const { bounds, clock } = this.#parts;
    this.#head = head;
    this.#requests++;
    this.#hasHead = false;
    this.#closesAfter = !head.keepsAlive || this.#requests >= bounds.requestsPerConnection;
    this.#isBodyPaused = head.expectsContinue;
    this.#body.begin(head.bodyLength);
    this.#phase = "response";
    this.#deadline.clear();
    this.#speed = undefined;
    if (head.bodyLength !== 0) {
      this.#phase = "body";
      this.#speed = new BodySpeed(bounds.bodyBytesPerSecond, clock);
      this.#deadline.set(bounds.bodyIdleMs);
    }
    this.#request = this.#parts.carry(this);
    this.#request.start();
  }

  #onProgress(bytes: number): void {
    if (this.#phase !== "body") return;
    this.#deadline.set(this.#parts.bounds.bodyIdleMs);
    if (this.#speed?.isTooSlow(bytes) === true) this.#onDue();
  }

  onBody(bytes: Buffer): void {
    this.#request?.onRequestBody(bytes);
  }

  onBodyEnd(trailers: Fields): void {
    if (this.#phase === "body") this.#phase = "response";
    this.#deadline.clear();
    this.#request?.onRequestEnd(trailers);
  }

  pauseBody(): void {
    this.#isBodyPaused = true;
    this.#speed?.pause();
    if (this.#phase === "tunnel" || this.#phase === "body") this.#socket.pause();
    if (this.#phase === "body") this.#deadline.clear();
  }

  resumeBody(): void {
    if (!this.#isBodyPaused) return;
    this.#isBodyPaused = false;
    this.#speed?.resume();
    if (this.#phase === "body") this.#deadline.set(this.#parts.bounds.bodyIdleMs);
    if (this.#isProcessing) return;
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) this.#process(held);
    if (!this.#isBodyPaused && !this.#socket.destroyed) this.#socket.resume();
  }

  // ---- writing

  sendInformational(status: number, fields: Fields): void {
    const reason = reasonOf(status);
    this.#writer.add(
      responseHeadText({ status, reason, fields, bodyLength: undefined, connection: undefined, upgrade: undefined }),
    );
    this.#writer.flush();
  }

  sendHead(start: ResponseStart): void {
    this.#hasHead = true;
    const { status, reason, fields, upgrade } = start;
    if (status === 101) return this.#beginTunnel(start);
    const isBodiless = this.#head?.method === "HEAD" || status === 204 || status === 304;
    const bodyLength = isBodiless ? undefined : this.#framed(start.bodyLength);
    // An answer before the end of the request: the rest of it will not be read.
    if (this.#isDraining || (this.#body.isReading && start.bodyLength >= 0)) this.#closesAfter = true;
    const connection = this.#closesAfter ? "close" : this.#head?.version === "1.0" ? "keep-alive" : undefined;
    this.#writer.add(responseHeadText({ status, reason, fields, bodyLength, connection, upgrade }));
  }

  /** A body of unknown length goes in chunks; to HTTP/1.0 it ends with the connection. */
  #framed(bodyLength: number): number | undefined {
    this.#framing = "plain";
    if (bodyLength >= 0) return bodyLength;
    if (this.#head?.version === "1.1") {
      this.#framing = "chunks";
      return CHUNKED;
    }
    this.#closesAfter = true;
    return UNTIL_CLOSE;
  }

  #beginTunnel({ status, reason, fields, upgrade }: ResponseStart): void {
    this.#phase = "tunnel";
    this.#framing = "plain";
    this.#closesAfter = true;
    this.#deadline.set(this.#parts.bounds.tunnelIdleMs);
    this.#writer.add(
      responseHeadText({ status, reason, fields, bodyLength: undefined, connection: "upgrade", upgrade }),
    );
    this.#writer.flush();
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) process.nextTick(() => this.#readTunnel(held));
    this.#socket.resume();
  }

  write(bytes: Buffer): void {
    if (this.#framing === "chunks") {
      if (bytes.length === 0) return;
      this.#writer.add(chunkLine(bytes.length));
      this.#writer.add(bytes);
      this.#writer.add("\r\n");
    } else this.#writer.add(bytes);
  }

  flush(): boolean {
    if (this.#phase === "tunnel") this.#deadline.set(this.#parts.bounds.tunnelIdleMs);
    const isFine = this.#writer.flush();
    if (!isFine) this.#beginStall();
    return isFine;
  }

  end(trailers: Fields): void {
    if (this.#phase === "tunnel") {
      this.#writer.flush();
      this.#socket.end();
      return;
    }
    if (this.#framing === "chunks") this.#writer.add(endOfChunksText(this.#head?.takesTrailers ? trailers : []));
    this.#framing = "none";
    this.#writer.flush();
    this.#request = undefined;
    // Half of a request that nobody reads stands between us and the next one.
    if (this.#body.isReading) return this.#linger();
    if (this.#closesAfter || this.#isDraining) return this.#close();
    this.#phase = "idle";
    this.#deadline.set(this.#parts.bounds.keepAliveMs);
    this.#next();
  }

  /** Requests that were sent ahead are read in a loop, never one within the other. */
  #next(): void {
    const held = this.#held;
    if (this.#isProcessing) return;
    if (held === undefined) {
      if (this.#socket.isPaused()) this.#socket.resume();
      return;
    }
    this.#held = undefined;
    this.#process(held);
  }

  abort(): void {
    this.#request = undefined;
    this.#phase = "closed";
    // A reset instead of an end: where the end of the connection ends the body, an end would be a lie.
    if (this.#parts.facts.isTls) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  #beginStall(): void {
    if (this.#isStalled || this.#phase === "tunnel") return;
    this.#isStalled = true;
    this.#deadline.set(this.#parts.bounds.writeStallMs);
  }

  #onDrain(): void {
    if (this.#isStalled) {
      this.#isStalled = false;
      if (this.#phase === "response") this.#deadline.clear();
      else if (this.#phase === "body" && !this.#isBodyPaused) this.#deadline.set(this.#parts.bounds.bodyIdleMs);
      else if (this.#phase === "idle") this.#deadline.set(this.#parts.bounds.keepAliveMs);
    }
    this.#request?.onClientDrain();
  }

  // ---- ending

  drain(): void {
    this.#isDraining = true;
    if (this.#phase === "idle" && this.#requests > 0) this.#close();
    else if (this.#phase === "idle") this.#deadline.set(Math.min(this.#parts.bounds.headMs, 1_000));
    else if (this.#phase === "tunnel") return;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #close(): void {
    this.#phase = "lingering";
    this.#held = undefined;
    this.#deadline.set(LINGER_MS);
    this.#socket.end();
    if (this.#socket.isPaused()) this.#socket.resume();
  }

  #linger(): void {
    this.#close();
  }

  #refuse(error: BadMessage): void {
    this.#parts.onRefused(error.reason);
    const request = this.#request;
    this.#request = undefined;
    request?.onClientGone("bad-request");
    if (request !== undefined && this.#hasHead) return void this.#socket.destroy();
    this.#answerAndClose(error.status, error.message);
  }

  #answerAndClose(status: number, message: string): void {
    const body = `${message}\n`;
    const fields = ["content-type", "text/plain; charset=utf-8", "date", new Date().toUTCString()];
    const bodyLength = body.length;
    const reason = reasonOf(status);
    this.#writer.add(responseHeadText({ status, reason, fields, bodyLength, connection: "close", upgrade: undefined }));
    this.#writer.add(body);
    this.#writer.flush();
    this.#close();
  }

  #onDue(): void {
    const request = this.#request;
    if (this.#phase === "head") {
      this.#parts.onRefused("timeout");
      return this.#answerAndClose(408, "the request's head did not come in time");
    }
    if (this.#phase === "body" && !this.#isStalled) {
      this.#request = undefined;
      this.#parts.onRefused("timeout");
      request?.onClientGone("timeout");
      if (!this.#hasHead) return this.#answerAndClose(408, "the request's body did not come in time");
    }
    this.#socket.destroy();
  }

  /** As in Go's server: a client that ends its side while it waits has gone. In a tunnel the other side lives on. */
  #onEnd(): void {
    if (this.#phase === "tunnel") return this.#request?.onRequestEnd([]);
    const request = this.#request;
    this.#request = undefined;
    request?.onClientGone("closed");
    this.#socket.destroySoon();
    if (request !== undefined) this.#socket.destroy();
  }

  #onClose(): void {
    this.#phase = "closed";
    this.#deadline.remove();
    const request = this.#request;
    this.#request = undefined;
    request?.onClientGone("closed");
    this.#parts.onClosed();
  }
}
