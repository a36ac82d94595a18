/**
 * The server's side of a SPDY/3.1 connection as Kubernetes' clients use it: the client opens streams, both sides send data. No flow-control windows: neither client-go nor
 * the kubelet keep them, back-pressure is TCP's. Works on any byte stream, so also on one that is tunnelled in a WebSocket.
 */
import type { Duplex } from "node:stream";
import {
  dataFrame,
  type Frame,
  FrameReader,
  goAwayFrame,
  maxDataBytes,
  pingFrame,
  rstStreamFrame,
  synReplyFrame,
} from "./frames.ts";
import { HeaderReader, HeaderWriter, type SpdyHeaders } from "./header-block.ts";

/** Bytes that may wait in a stream before the connection is read no further. */
const maxWaitingBytes = 1 << 22;
/** Streams at once; more are refused. */
const maxStreams = 256;
const refused = 3;
const cancelled = 5;

/** One stream of a connection. Read it by iterating; it ends when the client sends no more or breaks it off. */
export class SpdyStream implements AsyncIterable<Uint8Array> {
  readonly id: number;
  readonly headers: SpdyHeaders;
  readonly #connection: StreamOwner;
  readonly #waiting: Buffer[] = [];
  #isEnded = false;
  #isClosed = false;
  #wake: (() => void) | undefined;

  constructor(id: number, headers: SpdyHeaders, connection: StreamOwner) {
    this.id = id;
    this.headers = headers;
    this.#connection = connection;
  }

  /** Sends data. Resolves when the connection has taken it; rejects when it is closed. */
  async write(data: Uint8Array): Promise<void> {
    for (let offset = 0; offset < data.length; offset += maxDataBytes) {
      if (this.#isClosed) return;
      await this.#connection.send(dataFrame(this.id, data.subarray(offset, offset + maxDataBytes), false));
    }
  }

  /** Sends no more. May be called twice. */
  async end(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#connection.send(dataFrame(this.id, Buffer.alloc(0), true)).catch(() => {}); // the client has gone
  }

  /** Breaks the stream off, in both directions. */
  reset(): void {
    if (!this.#isClosed) void this.#connection.send(rstStreamFrame(this.id, cancelled)).catch(() => {}); // the client has gone
    this.#isClosed = true;
    this.discard();
    this.#connection.forget(this);
  }

  /** Lets go of what came and was not read. */
  discard(): void {
    for (const chunk of this.#waiting.splice(0)) this.#connection.taken(chunk.length);
    this.receiveEnd();
  }

  /** For the connection: data came. */
  receive(data: Buffer): void {
    if (this.#isEnded) return;
    this.#waiting.push(data);
    this.#wake?.();
  }

  /** For the connection: no more data comes. */
  receiveEnd(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next) {
        this.#connection.taken(next.length);
        yield next;
      } else if (this.#isEnded) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

type StreamOwner = {
  readonly send: (frame: Buffer) => Promise<void>;
  readonly taken: (bytes: number) => void;
  readonly forget: (stream: SpdyStream) => void;
};

/** A connection. {@link SpdyConnection.run} reads it to its end. */
export class SpdyConnection {
  readonly #socket: Duplex;
  readonly #onStream: (stream: SpdyStream) => void;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #headerReader = new HeaderReader();
  readonly #headerWriter = new HeaderWriter();
  readonly #owner: StreamOwner;
  #waitingBytes = 0;
  #wakeReader: (() => void) | undefined;
  #lastStreamId = 0;

  constructor(socket: Duplex, onStream: (stream: SpdyStream) => void) {
    this.#socket = socket;
    this.#onStream = onStream;
    this.#owner = {
      send: (frame) => this.#send(frame),
      taken: (bytes) => {
        this.#waitingBytes -= bytes;
        this.#wakeReader?.();
      },
      forget: (stream) => void this.#streams.delete(stream.id),
    };
  }

  /** Reads until the client leaves or breaks the protocol. Never rejects; all streams have ended afterwards. */
  async run(): Promise<void> {
    const reader = new FrameReader();
    try {
      for await (const chunk of this.#socket) {
        for (const frame of reader.push(chunk as Buffer)) await this.#take(frame);
        while (this.#waitingBytes > maxWaitingBytes && !this.#socket.destroyed) {
          await new Promise<void>((resolve) => {
            this.#wakeReader = resolve;
          });
        }
      }
    } catch {
      // The client broke the connection or the protocol: both end here.
    } finally {
      for (const stream of this.#streams.values()) stream.receiveEnd();
      this.#headerReader.close();
      this.#socket.destroy();
    }
  }

  /** Ends the connection after what was sent is out. */
  close(): void {
    this.#socket.write(goAwayFrame(this.#lastStreamId));
    this.#socket.end();
    this.#wakeReader?.();
  }

  async #take(frame: Frame): Promise<void> {
    if (frame.type === "synStream") await this.#open(frame);
    else if (frame.type === "synReply" || frame.type === "headers")
      await this.#headerReader.read(frame.headerBlock); // keeps the inflater in step
    else if (frame.type === "ping") await this.#send(pingFrame(frame.id));
    else if (frame.type === "data") this.#receive(frame);
    else if (frame.type === "rstStream") {
      this.#streams.get(frame.streamId)?.discard();
      this.#streams.delete(frame.streamId);
    }
  }

  async #open(frame: Extract<Frame, { readonly type: "synStream" }>): Promise<void> {
    const headers = await this.#headerReader.read(frame.headerBlock);
    const isUsable = this.#streams.size < maxStreams && frame.streamId > this.#lastStreamId && frame.streamId % 2 === 1;
    if (!isUsable) return await this.#send(rstStreamFrame(frame.streamId, refused));
    this.#lastStreamId = frame.streamId;
    const stream = new SpdyStream(frame.streamId, headers, this.#owner);
    this.#streams.set(stream.id, stream);
    await this.#send(synReplyFrame(stream.id, this.#headerWriter.write(new Map())));
    if (frame.isLast) stream.receiveEnd();
    this.#onStream(stream);
  }

  #receive(frame: Extract<Frame, { readonly type: "data" }>): void {
    const stream = this.#streams.get(frame.streamId);
    if (stream && frame.data.length > 0) {
      this.#waitingBytes += frame.data.length;
      stream.receive(frame.data);
    }
    if (frame.isLast) stream?.receiveEnd();
  }

  #send(frame: Buffer): Promise<void> {
    return new Promise((resolve, reject) => this.#socket.write(frame, (error) => (error ? reject(error) : resolve())));
  }
}
