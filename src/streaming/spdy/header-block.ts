/**
 * Compressed headers of SPDY/3.1. What comes in is inflated with the dictionary, one state for the whole connection; what goes out is zlib too, but stored: headers are few and
 * short, and stored blocks need neither state nor waiting.
 */
import { constants, createInflate, type Inflate } from "node:zlib";
import { spdyDictionary } from "./dictionary.ts";
import { SpdyProtocolError } from "./frames.ts";

/** Headers by name, in lower case. */
export type SpdyHeaders = ReadonlyMap<string, string>;

/** Largest block of headers after inflation, in bytes: a compressed bomb ends here. */
const maxBlockBytes = 64 * 1024;

/** Reads header blocks of one connection, in their order. */
export class HeaderReader {
  readonly #inflate: Inflate;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #failure: Error | undefined;

  constructor() {
    this.#inflate = createInflate({ dictionary: spdyDictionary(), flush: constants.Z_SYNC_FLUSH });
    this.#inflate.on("data", (chunk: Buffer) => {
      this.#bytes += chunk.length;
      if (this.#bytes > maxBlockBytes) this.#inflate.destroy(new SpdyProtocolError("a block of headers is too large"));
      else this.#chunks.push(chunk);
    });
    this.#inflate.on("error", (error) => {
      this.#failure = error;
    });
  }

  /** The headers of a block. Throws {@link SpdyProtocolError}. */
  async read(block: Uint8Array): Promise<SpdyHeaders> {
    this.#chunks = [];
    this.#bytes = 0;
    await new Promise<void>((resolve, reject) => {
      const fail = () =>
        reject(new SpdyProtocolError(`a block of headers is damaged: ${this.#failure?.message ?? "unexpected end"}`));
      if (this.#failure) return fail();
      this.#inflate.once("error", fail);
      this.#inflate.write(block, () => {
        this.#inflate.off("error", fail);
        if (this.#failure) fail();
        else resolve();
      });
    });
    return parse(Buffer.concat(this.#chunks));
  }

  /** Frees the state. */
  close(): void {
    this.#inflate.destroy();
  }
}

function parse(block: Buffer): SpdyHeaders {
  const headers = new Map<string, string>();
  let offset = 0;
  const take = (length: number): Buffer => {
    if (offset + length > block.length) throw new SpdyProtocolError("a block of headers ends too early");
    offset += length;
    return block.subarray(offset - length, offset);
  };
  const text = () => take(take(4).readUInt32BE(0)).toString("utf8");
  const count = take(4).readUInt32BE(0);
  for (let index = 0; index < count; index++) headers.set(text().toLowerCase(), text());
  return headers;
}

/** An empty stored block, as a flush makes it: Go's inflater gives out nothing of a block before it sees one. */
const emptyBlock = Buffer.from([0, 0, 0, 0xff, 0xff]);

/** Writes header blocks of one connection. */
export class HeaderWriter {
  #isFirst = true;

  /** The block of these headers. */
  write(headers: SpdyHeaders): Buffer {
    const parts: Buffer[] = [uint32(headers.size)];
    for (const [name, value] of headers) {
      for (const text of [name.toLowerCase(), value]) parts.push(uint32(Buffer.byteLength(text)), Buffer.from(text));
    }
    const plain = Buffer.concat(parts);
    const head = Buffer.from([
      0,
      plain.length & 255,
      plain.length >> 8,
      ~plain.length & 255,
      (~plain.length >> 8) & 255,
    ]);
    // 78 01: zlib, no compression to speak of, no dictionary needed. Stands once, before the first block.
    const start = this.#isFirst ? Buffer.from([0x78, 0x01]) : Buffer.alloc(0);
    this.#isFirst = false;
    return Buffer.concat([start, head, plain, emptyBlock]);
  }
}

function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value);
  return buffer;
}
