/**
 * Reads all requests of a piece of bytes, as a connection would: for tests that compare what our readers and others make of the same bytes.
 */
import { BadMessage } from "#proxy/http1/bad-message.ts";
import { BodyReader } from "#proxy/http1/body-reader.ts";
import { defaultLimits } from "#proxy/http1/limits.ts";
import { RequestReader } from "#proxy/http1/request-reader.ts";
import type { Fields } from "#proxy/message/fields.ts";
import type { RequestHead } from "#proxy/message/heads.ts";

/** A request that was read to its end. */
export type WholeRequest = { readonly head: RequestHead; readonly body: string; readonly trailers: Fields };

/** What became of the bytes: the requests before the first bad one, and what was wrong with that. */
export type ReadResult = {
  readonly requests: readonly WholeRequest[];
  readonly error: BadMessage | undefined;
  /** Another request has begun and is not whole. */
  readonly isPartial: boolean;
};

/** Reads `pieces` as they would arrive. */
export function readRequests(pieces: readonly Buffer[]): ReadResult {
  const connection = new Connection();
  try {
    for (const piece of pieces) connection.push(piece);
  } catch (error) {
    if (!(error instanceof BadMessage)) throw error;
    return { requests: connection.requests, error, isPartial: false };
  }
  return { requests: connection.requests, error: undefined, isPartial: connection.isPartial };
}

/** Whether the bytes lead to a refusal, whatever comes behind: some lines are judged when their head is whole, and nothing was taken before. */
export function isRefusedInTheEnd(bytes: Buffer): boolean {
  const endings = ["", "\r\n\r\n", "x\r\n\r\n"].map((text) => Buffer.concat([bytes, Buffer.from(text)]));
  return endings.some((all) => readRequests([all]).error !== undefined);
}

class Connection {
  readonly requests: WholeRequest[] = [];
  readonly #reader = new RequestReader(defaultLimits);
  readonly #body = new BodyReader(defaultLimits);
  #held: Buffer = Buffer.alloc(0);
  #head: RequestHead | undefined;
  #text = "";

  get isPartial(): boolean {
    return this.#held.length > 0 || this.#head !== undefined;
  }

  push(piece: Buffer): void {
    const bytes = Buffer.concat([this.#held, piece]);
    let at = 0;
    while (at < bytes.length) {
      if (this.#head === undefined) {
        const read = this.#reader.read(bytes, at);
        if (read === undefined) break;
        at = read.end;
        this.#begin(read.head);
      } else at = this.#body.read(bytes, at, this);
    }
    this.#held = bytes.subarray(at);
  }

  #begin(head: RequestHead): void {
    this.#head = head;
    this.#text = "";
    this.#body.begin(head.bodyLength);
    if (!this.#body.isReading) this.onBodyEnd([]);
  }

  onBody(bytes: Buffer): void {
    this.#text += bytes.toString("latin1");
  }

  onBodyEnd(trailers: Fields): void {
    if (this.#head !== undefined) this.requests.push({ head: this.#head, body: this.#text, trailers });
    this.#head = undefined;
  }
}
