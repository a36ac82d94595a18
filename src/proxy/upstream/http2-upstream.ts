/**
 * Connections to an upstream that speaks HTTP/2, and streams on them. Framing is node:http2's.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import type { Socket } from "node:net";
import type { ClusterConfig } from "#proxy/config/cluster.ts";
import type { RequestStart, UpstreamFailure, UpstreamOwner, UpstreamStream } from "#proxy/exchange/streams.ts";
import { addFields, emptyHeaders, fieldsOf, lengthIn } from "#proxy/http2/field-lists.ts";
import { sendTrailers } from "#proxy/http2/send-trailers.ts";
import type { Deadline, Deadlines } from "#proxy/message/deadlines.ts";
import type { Fields } from "#proxy/message/fields.ts";
import { CHUNKED, type ResponseHead } from "#proxy/message/heads.ts";

/** Streams on one connection, whatever more the server allows: their bytes share one TCP window. */
const MOST_STREAMS = 100;
const WINDOW_BYTES = 1 << 20;

/** The connections to one endpoint. */
export class Http2Upstreams {
  readonly #cluster: ClusterConfig;
  readonly #connect: () => Socket;
  readonly #deadlines: Deadlines;
  #sessions: Session[] = [];
  #isRetired = false;

  constructor(cluster: ClusterConfig, open: () => Socket, deadlines: Deadlines) {
    this.#cluster = cluster;
    this.#connect = open;
    this.#deadlines = deadlines;
  }

  /** A stream for one request, on a connection that has room. */
  open(owner: UpstreamOwner): UpstreamStream {
    const session = this.#sessions.find((one) => one.hasRoom()) ?? this.#openSession();
    return new Http2Upstream(session, owner);
  }

  /** Connections end with their last stream. */
  retire(): void {
    this.#isRetired = true;
    for (const session of this.#sessions) session.close();
  }

  #openSession(): Session {
    const session = new Session(this.#connect(), this.#cluster, this.#deadlines);
    this.#sessions.push(session);
    session.open(() => (this.#sessions = this.#sessions.filter((one) => one !== session)));
    if (this.#isRetired) session.close();
    return session;
  }
}

class Session {
  readonly http2: ClientHttp2Session;
  readonly scheme: "http" | "https";
  readonly #cluster: ClusterConfig;
  readonly #deadline: Deadline;
  readonly #socket: Socket;
  #streams = 0;
  isReady = false;
  requests = 0;

  constructor(socket: Socket, cluster: ClusterConfig, deadlines: Deadlines) {
    this.#cluster = cluster;
    this.#socket = socket;
    this.scheme = cluster.tls === undefined ? "http" : "https";
    this.http2 = connect(`${this.scheme}://upstream`, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
      strictSingleValueFields: false,
    } as Parameters<typeof connect>[1]);
    this.#deadline = deadlines.add(() => this.#onDue());
  }

  open(onGone: () => void): void {
    this.#deadline.set(this.#cluster.connectTimeoutMs ?? 5_000);
    this.http2.on("connect", () => {
      this.isReady = true;
      this.#deadline.clear();
      this.http2.setLocalWindowSize(WINDOW_BYTES * 16);
      if (this.#streams === 0) this.#beginIdling();
    });
    this.http2.on("error", () => {
      // Its streams are told one by one.
    });
    this.http2.on("goaway", onGone);
    this.http2.on("close", () => {
      this.#deadline.remove();
      onGone();
    });
  }

  hasRoom(): boolean {
    const most = Math.min(MOST_STREAMS, this.http2.remoteSettings?.maxConcurrentStreams ?? MOST_STREAMS);
    return !this.http2.closed && !this.http2.destroyed && this.#streams < most;
  }

  take(): void {
    this.#streams++;
    this.requests++;
    if (this.isReady) this.#deadline.clear();
  }

  leave(): void {
    this.#streams--;
    if (this.#streams === 0 && this.isReady) this.#beginIdling();
  }

  close(): void {
    this.http2.close();
  }

  #beginIdling(): void {
    this.#deadline.set(this.#cluster.idleTimeoutMs ?? 60_000);
  }

  #onDue(): void {
    if (this.isReady) this.http2.close();
    else this.#socket.destroy(new Error("the connection did not come about in time"));
  }
}

/** One request. */
class Http2Upstream implements UpstreamStream {
  readonly #session: Session;
  #owner: UpstreamOwner | undefined;
  #stream: ClientHttp2Stream | undefined;
  #isFull = false;
  #trailersToSend: Fields = [];
  #requestIsWhole = false;
  #trailers: Fields = [];
  #method = "GET";
  #message = "";

  constructor(session: Session, owner: UpstreamOwner) {
    this.#session = session;
    this.#owner = owner;
    session.take();
  }

  sendHead(start: RequestStart): void {
    this.#method = start.method;
    const headers = emptyHeaders();
    headers[":method"] = start.method;
    headers[":scheme"] = this.#session.scheme;
    headers[":authority"] = start.authority;
    headers[":path"] = start.target;
    if (start.bodyLength > 0) headers["content-length"] = start.bodyLength;
    if (start.takesTrailers) headers["te"] = "trailers";
    const endStream = start.bodyLength === 0;
    try {
      this.#stream = this.#session.http2.request(addFields(headers, start.fields), {
        endStream,
        waitForTrailers: !endStream,
      });
    } catch (error) {
      // The connection ended in this very turn, or HTTP/2 knows no such request.
      this.#message = (error as Error).message;
      process.nextTick(() => this.#onClose());
      return;
    }
    this.#listen(this.#stream);
  }

  write(bytes: Buffer): void {
    if (this.#stream?.write(bytes) === false) this.#isFull = true;
  }

  flush(): boolean {
    return !this.#isFull;
  }

  end(trailers: Fields): void {
    this.#trailersToSend = trailers;
    this.#requestIsWhole = true;
    if (this.#stream?.writableEnded === false) this.#stream.end();
  }

  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
  }

  abort(): void {
    this.#owner = undefined;
    this.#stream?.close(constants.NGHTTP2_CANCEL);
    if (this.#stream === undefined) this.#session.leave();
  }

  #listen(stream: ClientHttp2Stream): void {
    stream.on("headers", (headers, _flags, raw?: string[]) => {
      this.#owner?.onInformational(Number(headers[":status"]), fieldsOf(raw ?? [], false));
    });
    stream.on("response", (headers, flags, raw?: string[]) => {
      this.#owner?.onResponseHead(this.#headOf(Number(headers[":status"]), flags, raw ?? []));
      this.#owner?.onResponseReadDone();
    });
    stream.on("data", (bytes: Buffer) => {
      this.#owner?.onResponseBody(bytes);
      this.#owner?.onResponseReadDone();
    });
    stream.on("trailers", (_headers, _flags, raw?: string[]) => (this.#trailers = fieldsOf(raw ?? [], true)));
    // node:http2 ends a stream before it resets it, which would make half a request a whole one: without trailers there is no end.
    stream.on("wantTrailers", () => {
      if (this.#requestIsWhole) sendTrailers(stream, this.#trailersToSend);
    });
    stream.on("drain", () => {
      this.#isFull = false;
      this.#owner?.onUpstreamDrain();
    });
    stream.on("end", () => this.#onEnd(stream));
    stream.on("error", (error: Error) => (this.#message = error.message));
    stream.on("close", () => this.#onClose());
  }

  #headOf(status: number, flags: number, raw: readonly string[]): ResponseHead {
    const isBodiless = this.#method === "HEAD" || status === 204 || status === 304;
    const isEmpty = isBodiless || (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    return {
      version: "2",
      status,
      reason: "",
      fields: fieldsOf(raw, isBodiless && status !== 204),
      bodyLength: isEmpty ? 0 : (lengthIn(raw) ?? CHUNKED),
      upgrade: undefined,
      keepsAlive: true,
    };
  }

  #onEnd(stream: ClientHttp2Stream): void {
    // A stream that was reset ends too.
    if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || stream.aborted) return;
    const owner = this.#owner;
    this.#owner = undefined;
    owner?.onResponseEnd(this.#trailers);
  }

  #onClose(): void {
    this.#session.leave();
    const owner = this.#owner;
    this.#owner = undefined;
    const message = this.#message || "the upstream reset the stream";
    owner?.onUpstreamFailed({ kind: this.#kindOfFailure(), message, wasReused: this.#session.requests > 1 });
  }

  #kindOfFailure(): UpstreamFailure["kind"] {
    if (!this.#session.isReady) return "connect";
    return this.#stream === undefined || this.#stream.rstCode === constants.NGHTTP2_REFUSED_STREAM
      ? "refused"
      : "reset";
  }
}
