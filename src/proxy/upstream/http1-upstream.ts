/**
 * A connection to an upstream that speaks HTTP/1.1: one request at a time, never pipelined. Reads answers strictly; a connection on which anything was unusual is not used again, so that nobody gets
 * what was meant for somebody else.
 */
import type { Socket } from "node:net";
import { BadMessage } from "#proxy/http1/bad-message.ts";
import { BodyReader } from "#proxy/http1/body-reader.ts";
import type { BodySink } from "#proxy/http1/chunk-decoder.ts";
import { defaultLimits } from "#proxy/http1/limits.ts";
import { ResponseReader } from "#proxy/http1/response-reader.ts";
import { chunkLine, endOfChunksText, requestHeadText } from "#proxy/http1/serializer.ts";
import { SocketWriter } from "#proxy/http1/socket-writer.ts";
import type { RequestStart, UpstreamFailure, UpstreamOwner, UpstreamStream } from "#proxy/exchange/streams.ts";
import type { Deadline, Deadlines } from "#proxy/message/deadlines.ts";
import type { Fields } from "#proxy/message/fields.ts";
import { CHUNKED, type ResponseHead } from "#proxy/message/heads.ts";

/** Whoever keeps connections for the next request. */
export interface Http1UpstreamKeeper {
  /** The connection is free. Gives for how long it may stay so, in ms; 0: it is to be closed. */
  onIdle(upstream: Http1Upstream): number;
  /** The connection is gone. */
  onGone(upstream: Http1Upstream): void;
}

/** More informational answers before one response are an attack. */
const MOST_INFORMATIONAL = 16;

export class Http1Upstream implements UpstreamStream, BodySink {
  readonly #socket: Socket;
  readonly #keeper: Http1UpstreamKeeper;
  readonly #writer: SocketWriter;
  readonly #deadline: Deadline;
  readonly #reader = new ResponseReader(defaultLimits);
  readonly #body = new BodyReader(defaultLimits);
  #owner: UpstreamOwner | undefined;
  #held: Buffer | undefined;
  #request: RequestStart | undefined;
  #response: ResponseHead | undefined;
  #requestIsWhole = false;
  #responseIsWhole = false;
  #isTunnel = false;
  #isConnected = false;
  #requests = 0;
  #informational = 0;
  #trailers: Fields = [];
  #errorText = "";

  /** `connect` begins a connection. It calls `onBytes` with what is read, or lets the socket emit `data`. */
  constructor(
    connect: (onBytes: (bytes: Buffer) => void) => Socket,
    keeper: Http1UpstreamKeeper,
    deadlines: Deadlines,
  ) {
    this.#socket = connect((bytes) => this.#read(bytes));
    this.#keeper = keeper;
    this.#writer = new SocketWriter(this.#socket);
    this.#deadline = deadlines.add(() => this.#onDue());
  }

  /** Listens to the socket. `readyEvent` is `connect` or `secureConnect`. */
  open(connectTimeoutMs: number, readyEvent: "connect" | "secureConnect"): void {
    const socket = this.#socket;
    this.#deadline.set(connectTimeoutMs);
    socket.on(readyEvent, () => {
      this.#isConnected = true;
      this.#deadline.clear();
    });
    socket.on("data", (bytes: Buffer) => this.#read(bytes));
    socket.on("drain", () => this.#owner?.onUpstreamDrain());
    socket.on("end", () => this.#onEnd());
    socket.on("error", (error) => {
      this.#errorText = error.message;
    });
    socket.on("close", () => this.#onClose());
  }

  /** Takes the connection for one request. */
  take(owner: UpstreamOwner): void {
    this.#owner = owner;
    this.#requests++;
    if (this.#isConnected) this.#deadline.clear();
    this.#response = undefined;
    this.#requestIsWhole = false;
    this.#responseIsWhole = false;
    this.#informational = 0;
  }

  sendHead(start: RequestStart): void {
    this.#request = start;
    this.#writer.add(requestHeadText(start));
  }

  write(bytes: Buffer): void {
    if (this.#request?.bodyLength !== CHUNKED || this.#isTunnel) return this.#writer.add(bytes);
    this.#writer.add(chunkLine(bytes.length));
    this.#writer.add(bytes);
    this.#writer.add("\r\n");
  }

  flush(): boolean {
    return this.#writer.flush();
  }

  end(trailers: Fields): void {
    if (this.#isTunnel) {
      this.#writer.flush();
      this.#socket.end();
      return;
    }
    if (this.#request?.bodyLength === CHUNKED) this.#writer.add(endOfChunksText(trailers));
    this.#writer.flush();
    this.#requestIsWhole = true;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  abort(): void {
    this.#owner = undefined;
    this.#socket.destroy();
  }

  /** Closes a connection that nobody uses. */
  close(): void {
    this.abort();
  }

  #read(piece: Buffer): void {
    if (this.#owner === undefined || (this.#responseIsWhole && !this.#isTunnel)) return void this.#socket.destroy();
    const owner = this.#owner;
    if (this.#isTunnel) owner.onResponseBody(piece);
    else {
      const bytes = this.#held === undefined ? piece : Buffer.concat([this.#held, piece]);
      this.#held = undefined;
      try {
        this.#readMessage(bytes);
      } catch (error) {
        if (!(error instanceof BadMessage)) throw error;
        this.#fail("bad-response", error.message);
      }
      if (this.#responseIsWhole && this.#owner !== undefined) this.#endResponse(owner);
    }
    owner.onResponseReadDone();
  }

  /** The connection is free before anybody hears of the end: the next request may be there already. */
  #endResponse(owner: UpstreamOwner): void {
    if (this.#requestIsWhole) this.#release();
    owner.onResponseEnd(this.#trailers);
  }

  #readMessage(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length && this.#owner !== undefined) {
      if (this.#isTunnel) {
        this.#owner.onResponseBody(bytes.subarray(at));
        return;
      }
      if (this.#body.isReading) at = this.#body.read(bytes, at, this);
      else if (this.#responseIsWhole) {
        // Bytes behind the answer belong to nobody.
        this.#socket.destroy();
        return;
      } else {
        const read = this.#reader.read(bytes, at, this.#request?.method ?? "GET");
        if (read === undefined) {
          this.#held = at === 0 ? bytes : bytes.subarray(at);
          return;
        }
        at = read.end;
        this.#onHead(read.head);
      }
    }
  }

  #onHead(head: ResponseHead): void {
    if (head.status === 101) this.#beginTunnel(head);
    else if (head.status < 200) {
      if (++this.#informational > MOST_INFORMATIONAL)
        throw new BadMessage("start-line", "there are too many informational answers");
      if (head.status !== 100) this.#owner?.onInformational(head.status, head.fields);
      return;
    }
    this.#response = head;
    this.#owner?.onResponseHead(head);
    if (this.#isTunnel || this.#owner === undefined) return;
    this.#body.begin(head.bodyLength);
    if (!this.#body.isReading) this.onBodyEnd([]);
  }

  /** Only a 101 that was asked for makes a tunnel; any other would let a client speak past us. */
  #beginTunnel(head: ResponseHead): void {
    const asked = this.#request?.upgrade?.toLowerCase().split(/\s*,\s*/) ?? [];
    if (head.upgrade === undefined || !asked.includes(head.upgrade.toLowerCase()))
      throw new BadMessage("start-line", "a 101 answers a request for another protocol");
    this.#isTunnel = true;
  }

  onBody(bytes: Buffer): void {
    this.#owner?.onResponseBody(bytes);
  }

  onBodyEnd(trailers: Fields): void {
    this.#responseIsWhole = true;
    this.#trailers = trailers;
  }

  /** The request is over on both sides. */
  #release(): void {
    this.#owner = undefined;
    this.#request = undefined;
    const isClean = this.#response?.keepsAlive === true && this.#held === undefined && !this.#socket.destroyed;
    const idleMs = isClean ? this.#keeper.onIdle(this) : 0;
    if (idleMs === 0) this.#socket.destroy();
    else {
      this.#deadline.set(idleMs);
      if (this.#socket.isPaused()) this.#socket.resume();
    }
  }

  #onEnd(): void {
    if (this.#owner === undefined) return void this.#socket.destroy();
    if (this.#isTunnel || this.#body.endsWithConnection) {
      this.#responseIsWhole = true;
      const owner = this.#owner;
      if (!this.#isTunnel) this.abort();
      owner.onResponseEnd([]);
      return;
    }
    this.#fail("reset", "the upstream closed the connection");
  }

  #onClose(): void {
    this.#deadline.remove();
    this.#keeper.onGone(this);
    if (this.#owner === undefined) return;
    if (this.#isTunnel && this.#responseIsWhole) this.#owner = undefined;
    else if (!this.#isConnected) this.#fail("connect", this.#errorText || "the connection did not come about");
    else this.#fail("reset", this.#errorText || "the connection to the upstream broke");
  }

  #onDue(): void {
    if (!this.#isConnected) this.#fail("connect", "the connection did not come about in time");
    else if (this.#owner === undefined) this.#socket.destroy();
  }

  #fail(kind: UpstreamFailure["kind"], message: string): void {
    const owner = this.#owner;
    this.#owner = undefined;
    this.#socket.destroy();
    owner?.onUpstreamFailed({ kind, message, wasReused: this.#requests > 1 });
  }
}
