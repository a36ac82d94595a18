/**
 * The least HTTP/2 client that can measure a server: it sends GETs on raw TLS, gives credit for all that comes, and counts the bytes of DATA frames without looking at them unless asked. node:http2's own client
 * costs as much as the server it would measure.
 */
import { connect, type TLSSocket } from "node:tls";

/** Where the server is and as whom to come. PEM. */
export type Access = { readonly port: number; readonly ca: string; readonly cert: string; readonly key: string };

/** What one response came to. */
export type Counted = { readonly bytes: number; readonly status: number };

type Stream = { bytes: number; status: number; onData: ((chunk: Buffer) => void) | undefined; onEnd: () => void };

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA = 0x0;
const HEADERS = 0x1;
const RST_STREAM = 0x3;
const SETTINGS = 0x4;
const PING = 0x6;
const GOAWAY = 0x7;
const WINDOW_UPDATE = 0x8;
const END_STREAM = 0x1;
const END_HEADERS = 0x4;
const ACK = 0x1;
const MAX_WINDOW = 2 ** 31 - 1;
const CREDIT_AT = 2 ** 29;

/** One connection. */
export class FrameClient {
  readonly #socket: TLSSocket;
  readonly #streams = new Map<number, Stream>();
  #rest: Buffer | undefined;
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
    socket.on("data", (chunk) => client.#read(chunk));
    socket.on("error", () => {});
    const settings = Buffer.alloc(6);
    settings.writeUInt16BE(0x4, 0); // SETTINGS_INITIAL_WINDOW_SIZE
    settings.writeUInt32BE(MAX_WINDOW, 2);
    socket.write(
      Buffer.concat([Buffer.from(PREFACE), frame(SETTINGS, 0, 0, settings), credit(0, MAX_WINDOW - 65_535)]),
    );
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
    const block = Buffer.concat(Object.entries(fields).map(([name, value]) => literal(name, value)));
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
      this.#socket.write(frame(HEADERS, END_HEADERS | END_STREAM, id, block));
    });
  }

  close(): void {
    this.#socket.destroy();
    for (const stream of this.#streams.values()) stream.onEnd();
  }

  #read(chunk: Buffer): void {
    const data = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (data.length - at >= 9) {
      const length = data.readUIntBE(at, 3);
      if (data.length - at < 9 + length) break;
      this.#frame(
        { type: data[at + 3] as number, flags: data[at + 4] as number, id: data.readUInt32BE(at + 5) },
        data.subarray(at + 9, at + 9 + length),
      );
      at += 9 + length;
    }
    this.#rest = at === data.length ? undefined : data.subarray(at);
    if (this.#uncredited > CREDIT_AT) {
      this.#socket.write(credit(0, this.#uncredited));
      this.#uncredited = 0;
    }
  }

  #frame(head: { readonly type: number; readonly flags: number; readonly id: number }, payload: Buffer): void {
    const stream = this.#streams.get(head.id);
    switch (head.type) {
      case DATA:
        this.#uncredited += payload.length;
        if (stream === undefined) return;
        stream.bytes += payload.length;
        stream.onData?.(payload);
        if ((head.flags & END_STREAM) !== 0) stream.onEnd();
        return;
      case HEADERS:
        if (stream === undefined) return;
        // 0x88 is `:status 200` of HPACK's static table; anything else is not what a bench wants to see.
        stream.status = payload[0] === 0x88 || payload.subarray(0, 4).includes(0x88) ? 200 : -1;
        if ((head.flags & END_STREAM) !== 0) stream.onEnd();
        return;
      case RST_STREAM:
        return stream?.onEnd();
      case SETTINGS:
        if ((head.flags & ACK) === 0) this.#socket.write(frame(SETTINGS, ACK, 0, Buffer.alloc(0)));
        return;
      case PING:
        if ((head.flags & ACK) === 0) this.#socket.write(frame(PING, ACK, 0, payload));
        return;
      case GOAWAY:
        return this.close();
    }
  }
}

function frame(type: number, flags: number, id: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

function credit(id: number, bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return frame(WINDOW_UPDATE, 0, id, payload);
}

/** A header field that goes into no table. */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}
