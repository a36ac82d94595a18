/**
 * The least HTTP/2 client that can measure a server: it sends GETs on raw TLS, gives credit for all that comes, and counts the bytes of DATA frames without looking at them unless asked. node:http2's own client
 * costs as much as the server it would measure.
 */
import { connect, type TLSSocket } from "node:tls";
import {
  ACK,
  credit,
  END_HEADERS,
  END_STREAM,
  FRAME,
  type FrameHead,
  frame,
  frameReader,
  headerBlock,
  PREFACE,
  setting,
} from "#apiserver/testing/http2-frames.ts";

/** Where the server is and as whom to come. PEM. */
export type Access = { readonly port: number; readonly ca: string; readonly cert: string; readonly key: string };

/** What one response came to. */
export type Counted = { readonly bytes: number; readonly status: number };

type Stream = { bytes: number; status: number; onData: ((chunk: Buffer) => void) | undefined; onEnd: () => void };

const MAX_WINDOW = 2 ** 31 - 1;
const CREDIT_AT = 2 ** 29;

/** One connection. */
export class FrameClient {
  readonly #socket: TLSSocket;
  readonly #streams = new Map<number, Stream>();
  #nextId = 1;
  #uncredited = 0;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
  }

  /** Connects and sends the preface. */
  static async connect(access: Access): Promise<FrameClient> {
    const socket = connect({
      ...access,
      host: "127.0.0.1",
      servername: "localhost",
      ALPNProtocols: ["h2"],
      checkServerIdentity: () => undefined,
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("secureConnect", resolve);
      socket.once("error", reject);
    });
    socket.setNoDelay(true);
    const client = new FrameClient(socket);
    const read = frameReader((head, payload) => client.#frame(head, payload));
    socket.on("data", (chunk) => {
      read(chunk);
      client.#giveCredit();
    });
    socket.on("error", () => {});
    const initialWindow = setting(0x4, MAX_WINDOW);
    socket.write(Buffer.concat([PREFACE, initialWindow, credit(0, MAX_WINDOW - 65_535)]));
    return client;
  }

  /** Sends a GET; resolves when the response has ended. `onData` sees each DATA frame's payload, maybe in pieces. */
  get(
    path: string,
    headers: Readonly<Record<string, string>> = {},
    onData?: (chunk: Buffer) => void,
  ): Promise<Counted> {
    const id = this.#nextId;
    this.#nextId += 2;
    const fields = { ":method": "GET", ":scheme": "https", ":authority": "localhost", ":path": path, ...headers };
    return new Promise((resolve) => {
      const stream: Stream = {
        bytes: 0,
        status: 0,
        onData,
        onEnd: () => {
          this.#streams.delete(id);
          resolve({ bytes: stream.bytes, status: stream.status });
        },
      };
      this.#streams.set(id, stream);
      this.#socket.write(frame({ type: FRAME.headers, flags: END_HEADERS | END_STREAM, id }, headerBlock(fields)));
    });
  }

  close(): void {
    this.#socket.destroy();
    for (const stream of this.#streams.values()) stream.onEnd();
  }

  #giveCredit(): void {
    if (this.#uncredited <= CREDIT_AT) return;
    this.#socket.write(credit(0, this.#uncredited));
    this.#uncredited = 0;
  }

  #frame(head: FrameHead, payload: Buffer): void {
    const stream = this.#streams.get(head.id);
    switch (head.type) {
      case FRAME.data:
        this.#uncredited += payload.length;
        if (stream === undefined) return;
        stream.bytes += payload.length;
        stream.onData?.(payload);
        if ((head.flags & END_STREAM) !== 0) stream.onEnd();
        return;
      case FRAME.headers:
        if (stream === undefined) return;
        // 0x88 is `:status 200` of HPACK's static table; anything else is not what a bench wants to see.
        stream.status = payload[0] === 0x88 || payload.subarray(0, 4).includes(0x88) ? 200 : -1;
        if ((head.flags & END_STREAM) !== 0) stream.onEnd();
        return;
      case FRAME.rstStream:
        return stream?.onEnd();
      case FRAME.settings:
        if ((head.flags & ACK) === 0) this.#socket.write(frame({ type: FRAME.settings, flags: ACK, id: 0 }));
        return;
      case FRAME.ping:
        if ((head.flags & ACK) === 0) this.#socket.write(frame({ type: FRAME.ping, flags: ACK, id: 0 }, payload));
        return;
      case FRAME.goAway:
        return this.close();
    }
  }
}
