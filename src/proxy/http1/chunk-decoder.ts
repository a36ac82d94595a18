/**
 * Takes chunked bodies apart (RFC 9112 7.1): size lines with strict digits and well-formed extensions, data, trailers. Extensions are dropped, as an intermediary may.
 */
import type { Fields } from "#proxy/message/fields.ts";
import { BadMessage } from "./bad-message.ts";
import { CR, hexValue, LF, SEMICOLON } from "./characters.ts";
import { HeadReader } from "./head-reader.ts";
import type { MessageLimits } from "./limits.ts";

/** Who takes the pieces of a body. */
export interface BodySink {
  /** A piece of the body. The bytes are the reader's until this returns, and may be kept. */
  onBody(bytes: Buffer): void;
  /** The body is over. Comes once. */
  onBodyEnd(trailers: Fields): void;
}

type Step = "size" | "extension" | "size-lf" | "data" | "data-cr" | "data-lf" | "trailers" | "done";

/** Most bytes of a chunk: 13 hexadecimal digits are safe integers. */
const MOST_DIGITS = 13;
const noTrailers: Fields = [];
const extensions =
  /^(;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(=([!#$%&'*+\-.^_`|~0-9A-Za-z]+|"([\t !#-[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*$/;
/** What must not stand in trailers (RFC 9110 6.5.1): it would change how the message is framed, routed or trusted. */
const forbiddenTrailers: ReadonlySet<string> = new Set([
  "content-length",
  "transfer-encoding",
  "host",
  "connection",
  "keep-alive",
  "proxy-connection",
  "http2-settings",
  "upgrade",
  "te",
  "trailer",
  "expect",
  "authorization",
  "content-type",
  "content-encoding",
  "content-range",
  "set-cookie",
  "cookie",
]);

/** Decodes one body. */
export class ChunkDecoder {
  readonly #limits: MessageLimits;
  #step: Step = "size";
  #size = 0;
  #digits = 0;
  #extension = "";
  #extensionBytes = 0;
  #trailers: HeadReader | undefined;
  #held: Buffer | undefined;

  constructor(limits: MessageLimits) {
    this.#limits = limits;
  }

  /** Reads from `from` on and gives where it stopped: the end of the bytes, or of the body. Throws {@link BadMessage}. */
  read(bytes: Buffer, from: number, sink: BodySink): number {
    let at = from;
    while (at < bytes.length && this.#step !== "done") {
      if (this.#step === "data") at = this.#readData(bytes, at, sink);
      else if (this.#step === "trailers") at = this.#readTrailers(bytes, at, sink);
      else this.#readByte(bytes[at++] as number);
    }
    return at;
  }

  #readData(bytes: Buffer, at: number, sink: BodySink): number {
    const end = Math.min(bytes.length, at + this.#size);
    this.#size -= end - at;
    if (this.#size === 0) this.#step = "data-cr";
    sink.onBody(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    return end;
  }

  #readByte(byte: number): void {
    switch (this.#step) {
      case "size":
        return this.#readSize(byte);
      case "extension":
        return this.#readExtension(byte);
      case "size-lf":
        expect(byte, LF);
        this.#step = this.#size === 0 ? "trailers" : "data";
        this.#digits = 0;
        return;
      case "data-cr":
        expect(byte, CR);
        this.#step = "data-lf";
        return;
      default:
        expect(byte, LF);
        this.#step = "size";
    }
  }

  #readSize(byte: number): void {
    const digit = hexValue[byte] as number;
    if (digit !== 255) {
      if (++this.#digits > MOST_DIGITS) throw new BadMessage("chunk", "a chunk's size has too many digits");
      this.#size = this.#size * 16 + digit;
      return;
    }
    if (this.#digits === 0) throw new BadMessage("chunk", "a chunk has no size");
    if (byte === CR) this.#step = "size-lf";
    else if (byte === SEMICOLON) this.#beginExtension();
    else throw new BadMessage("chunk", `a chunk's size is followed by byte ${byte}`);
  }

  #beginExtension(): void {
    this.#step = "extension";
    this.#extension = ";";
    this.#extensionBytes++;
  }

  #readExtension(byte: number): void {
    if (byte === CR) {
      if (!extensions.test(this.#extension)) throw new BadMessage("chunk", "a chunk's extension is malformed");
      this.#step = "size-lf";
      return;
    }
    if (byte === LF) throw new BadMessage("line-ending", "a line ends in a bare LF");
    this.#extension += String.fromCharCode(byte);
    const { chunkLineBytes, chunkExtensionBytes } = this.#limits;
    if (this.#extension.length > chunkLineBytes || ++this.#extensionBytes > chunkExtensionBytes)
      throw new BadMessage("chunk", "chunk extensions are too long", 413);
  }

  /** Trailers that are not whole are kept here: their bytes come only once. */
  #readTrailers(bytes: Buffer, at: number, sink: BodySink): number {
    const held = this.#held?.length ?? 0;
    if (held === 0 && bytes[at] === CR && bytes[at + 1] === LF) return this.#finish(sink, noTrailers, at + 2);
    const all = this.#held === undefined ? bytes.subarray(at) : Buffer.concat([this.#held, bytes.subarray(at)]);
    this.#trailers ??= new HeadReader(this.#limits, false);
    const lines = this.#trailers.read(all, 0);
    if (lines === undefined) {
      this.#held = all;
      return bytes.length;
    }
    const { fields } = lines;
    const bad = fields.find((name, index) => index % 2 === 0 && forbiddenTrailers.has(name));
    if (bad !== undefined) throw new BadMessage("trailer", `${bad} stands in the trailers`);
    return this.#finish(sink, fields, at + lines.end - held);
  }

  #finish(sink: BodySink, trailers: Fields, end: number): number {
    this.#step = "done";
    this.#held = undefined;
    sink.onBodyEnd(trailers);
    return end;
  }
}

function expect(byte: number, wanted: number): void {
  if (byte !== wanted) throw new BadMessage("chunk", `byte ${byte} stands where a chunk's line ends`);
}
