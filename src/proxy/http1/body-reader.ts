/**
 * Reads a body as its head framed it: a number of bytes, chunks, or everything until the connection ends.
 */
import { type BodyLength, CHUNKED, UNTIL_CLOSE } from "#proxy/message/heads.ts";
import { type BodySink, ChunkDecoder } from "./chunk-decoder.ts";
import type { MessageLimits } from "./limits.ts";

/** Reads the bodies of one connection, one after another. */
export class BodyReader {
  readonly #limits: MessageLimits;
  #left = 0;
  #chunks: ChunkDecoder | undefined;
  #isReading = false;

  constructor(limits: MessageLimits) {
    this.#limits = limits;
  }

  /** A body has begun and has not ended. */
  get isReading(): boolean {
    return this.#isReading;
  }

  /** The body ends with the connection. */
  get endsWithConnection(): boolean {
    return this.#isReading && this.#chunks === undefined && this.#left === Number.POSITIVE_INFINITY;
  }

  /** Begins a body. A length of 0 ends it at once, without a call to any sink. */
  begin(length: BodyLength): void {
    this.#chunks = length === CHUNKED ? new ChunkDecoder(this.#limits) : undefined;
    this.#left = length === UNTIL_CLOSE ? Number.POSITIVE_INFINITY : length;
    this.#isReading = length !== 0;
  }

  /** Reads from `from` on and gives where it stopped: the end of the bytes, or of the body. Throws BadMessage. */
  read(bytes: Buffer, from: number, sink: BodySink): number {
    if (this.#chunks !== undefined) return this.#chunks.read(bytes, from, this.#ending(sink));
    const end = Math.min(bytes.length, from + this.#left);
    if (end === from) return from;
    this.#left -= end - from;
    const isLast = this.#left === 0;
    if (isLast) this.#isReading = false;
    sink.onBody(from === 0 && end === bytes.length ? bytes : bytes.subarray(from, end));
    if (isLast) sink.onBodyEnd([]);
    return end;
  }

  #ending(sink: BodySink): BodySink {
    return {
      onBody: (bytes) => sink.onBody(bytes),
      onBodyEnd: (trailers) => {
        this.#isReading = false;
        sink.onBodyEnd(trailers);
      },
    };
  }
}
