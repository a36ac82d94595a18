/**
 * The least that can ask over HTTP/2: requests are made beforehand as ready frames, answers are only counted. So the load costs a few microseconds a request, and what is measured is the server.
 * RFC 9113 and 7541 as far as needed: no header compression of ours, and a table size of 0 that forbids the server its dynamic one, so that `:status` can be read without a decoder.
 */
import { connect, type TLSSocket } from "node:tls";

/** Where a server is, and who asks. PEM. */
export type Access = { readonly port: number; readonly ca: string; readonly cert: string; readonly key: string };

/** A request made beforehand: the frames' payloads, without stream number. */
export type Prepared = { readonly headers: Buffer; readonly body: Buffer | undefined };

/** What became of a request. */
export type Answer = { readonly status: number; readonly bytes: number; readonly body: Buffer | undefined };

type Stream = {
  status: number;
  bytes: number;
  readonly chunks: Buffer[] | undefined;
  readonly onData: ((data: Buffer) => void) | undefined;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
};

const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const WINDOW_UPDATE = 8;
const END_STREAM = 1;
const ACK = 1;
const END_HEADERS = 4;
const LARGEST_WINDOW = 2 ** 31 - 1;

/** Makes a request's frames. */
export function prepare(
  method: string,
  path: string,
  options: { readonly body?: string; readonly type?: string; readonly accept?: string; readonly agent?: string } = {},
): Prepared {
  const { body, type = "application/json", accept = "application/json", agent = "bench" } = options;
  const fields: [string, string][] = [
    [":method", method],
    [":scheme", "https"],
    [":path", path],
    [":authority", "127.0.0.1"],
    ["accept", accept],
    ["user-agent", agent],
  ];
  if (body !== undefined) fields.push(["content-type", type], ["content-length", String(Buffer.byteLength(body))]);
  const headers = Buffer.concat(fields.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
  return { headers, body: body === undefined ? undefined : Buffer.from(body) };
}

/** One connection. */
export class Http2Client {
  readonly #socket: TLSSocket;
  readonly #streams = new Map<number, Stream>();
  #waiting: { readonly id: number; readonly body: Buffer }[] = [];
  #out: Buffer[] = [];
  #rest: Buffer | undefined;
  #nextId = 1;
  #isClosed = false;
  #sendWindow = 65_535;
  #consumed = 0;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the connection was closed")));
  }

  /** Opens a connection. */
  static async open(access: Access): Promise<Http2Client> {
    const { port, ca, cert, key } = access;
    const socket = connect({ host: "127.0.0.1", port, ca, cert, key, ALPNProtocols: ["h2"] });
    await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
    socket.setNoDelay(true);
    const client = new Http2Client(socket);
    const settings = Buffer.alloc(18);
    for (const [index, [id, value]] of [
      [1, 0],
      [2, 0],
      [4, LARGEST_WINDOW],
    ].entries()) {
      settings.writeUInt16BE(id as number, index * 6);
      settings.writeUInt32BE(value as number, index * 6 + 2);
    }
    client.#push(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    client.#frame(SETTINGS, 0, 0, settings);
    client.#widen(LARGEST_WINDOW - 65_535);
    return client;
  }

  /** True when one side has ended the connection: servers end those that nobody uses for a while. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Sends a request. `keep` keeps the answer's body; `onData` is given it as it comes instead. */
  request(
    prepared: Prepared,
    options: { readonly keep?: boolean; readonly onData?: (data: Buffer) => void } = {},
  ): Promise<Answer> {
    if (this.#isClosed) return Promise.reject(new Error("the connection is closed"));
    const id = this.#nextId;
    this.#nextId += 2;
    return new Promise((resolve, reject) => {
      const chunks = options.keep === true ? [] : undefined;
      this.#streams.set(id, { status: 0, bytes: 0, chunks, onData: options.onData, resolve, reject });
      const { headers, body } = prepared;
      this.#frame(HEADERS, END_HEADERS | (body === undefined ? END_STREAM : 0), id, headers);
      if (body !== undefined) this.#send(id, body);
    });
  }

  close(): void {
    this.#streams.clear();
    this.#socket.destroy();
  }

  #send(id: number, body: Buffer): void {
    if (this.#waiting.length > 0 || body.length > this.#sendWindow) {
      this.#waiting.push({ id, body });
      return;
    }
    this.#sendWindow -= body.length;
    for (let from = 0; from < body.length || from === 0; from += 16_384) {
      const isLast = from + 16_384 >= body.length;
      this.#frame(DATA, isLast ? END_STREAM : 0, id, body.subarray(from, from + 16_384));
    }
  }

  #frame(type: number, flags: number, id: number, payload: Buffer): void {
    const head = Buffer.allocUnsafe(9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(id, 5);
    this.#push(head, payload);
  }

  // What is asked within one turn goes out as one write.
  #push(...buffers: readonly Buffer[]): void {
    if (this.#out.length === 0) {
      process.nextTick(() => {
        const all = this.#out;
        this.#out = [];
        this.#socket.write(Buffer.concat(all));
      });
    }
    this.#out.push(...buffers);
  }

  #widen(bytes: number): void {
    const increment = Buffer.alloc(4);
    increment.writeUInt32BE(bytes);
    this.#frame(WINDOW_UPDATE, 0, 0, increment);
  }

  #read(chunk: Buffer): void {
    let data = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    let at = 0;
    while (data.length - at >= 9) {
      const end = at + 9 + data.readUIntBE(at, 3);
      if (end > data.length) break;
      this.#take(data[at + 3] ?? 0, data[at + 4] ?? 0, data.readUInt32BE(at + 5), data.subarray(at + 9, end));
      at = end;
    }
    data = data.subarray(at);
    if (data.length > 0) this.#rest = data;
  }

  #take(type: number, flags: number, id: number, payload: Buffer): void {
    const stream = this.#streams.get(id);
    if (type === DATA) this.#consume(payload.length);
    if (type === DATA && stream !== undefined) {
      stream.bytes += payload.length;
      stream.chunks?.push(payload);
      stream.onData?.(payload);
    }
    if (type === HEADERS && stream !== undefined && stream.status === 0) stream.status = statusOf(payload);
    if ((type === DATA || type === HEADERS) && (flags & END_STREAM) !== 0) this.#end(id);
    if (type === SETTINGS && (flags & ACK) === 0) this.#frame(SETTINGS, ACK, 0, Buffer.alloc(0));
    if (type === PING && (flags & ACK) === 0) this.#frame(PING, ACK, 0, payload);
    if (type === WINDOW_UPDATE && id === 0) this.#resume(payload.readUInt32BE(0));
    if (type === RST_STREAM) this.#end(id, new Error(`the stream was reset with code ${payload.readUInt32BE(0)}`));
    if (type === GOAWAY) this.#fail(new Error(`the server said goodbye with code ${payload.readUInt32BE(4)}`));
  }

  #consume(bytes: number): void {
    this.#consumed += bytes;
    if (this.#consumed < 2 ** 28) return;
    this.#widen(this.#consumed);
    this.#consumed = 0;
  }

  #resume(increment: number): void {
    this.#sendWindow += increment;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { id, body } of waiting) this.#send(id, body);
  }

  #end(id: number, error?: Error): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#streams.delete(id);
    const { status, bytes, chunks } = stream;
    if (error === undefined) stream.resolve({ status, bytes, body: chunks && Buffer.concat(chunks) });
    else stream.reject(error);
  }

  #fail(error: Error): void {
    this.#isClosed = true;
    for (const id of this.#streams.keys()) this.#end(id, error);
  }
}

// A string without Huffman: its length in seven bits, or 127 and the rest in groups of seven (RFC 7541, 5.1).
function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.of(...length, rest), bytes]);
}

/** Statuses of the static table, entries 8 to 14. */
const STATIC_STATUS = [200, 204, 206, 304, 400, 404, 500];

// `:status` is the first field: an entry of the static table, or a literal of the name with index 8.
function statusOf(block: Buffer): number {
  let at = 0;
  while (((block[at] ?? 0) & 0xe0) === 0x20) at++; // a change of the table's size
  const first = block[at] ?? 0;
  if ((first & 0x80) !== 0) return STATIC_STATUS[(first & 0x7f) - 8] ?? 0;
  const length = block[at + 1] ?? 0;
  const value = block.subarray(at + 2, at + 2 + (length & 0x7f));
  return Number((length & 0x80) === 0 ? value.toString("latin1") : huffmanDigits(value));
}

// Digits in HPACK's code: 0, 1 and 2 have five bits, the others six.
function huffmanDigits(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  let digits = "";
  for (let at = 0; digits.length < 3; ) {
    const five = Number.parseInt(bits.slice(at, at + 5), 2);
    digits += five <= 2 ? five : Number.parseInt(bits.slice(at, at + 6), 2) - 0x19 + 3;
    at += five <= 2 ? 5 : 6;
  }
  return digits;
}
