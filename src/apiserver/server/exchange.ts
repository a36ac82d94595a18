/**
 * One HTTP exchange, HTTP/1.1 and HTTP/2 alike: the request as the filters see it, and a way to answer.
 */
import type { ApiRequest } from "#apiserver/api-request.ts";

/** Response headers, names in lower case. */
export type ResponseHeaders = Record<string, string | number | string[]>;

/** A response body that is written in pieces. */
export interface BodyStream {
  /** Queues a chunk. False when enough is queued: wait for {@link drained}. */
  write(chunk: Uint8Array): boolean;
  /** Writes a chunk and resolves when its memory may be used for something else, or the client is gone; then it may not. */
  send(chunk: Uint8Array): Promise<void>;
  /** Resolves when more may be written, or the client is gone. */
  drained(): Promise<void>;
  /** Bytes that wait to be sent. */
  readonly bufferedBytes: number;
  /** True when the client is gone. */
  readonly isClosed: boolean;
  /** Ends the body in good order. May be called twice. */
  end(): void;
  /** Cuts the client off: what it has not read is dropped. May be called twice. */
  abort(): void;
  /** Called once when the client is gone or the body has ended. */
  onClose(callback: () => void): void;
}

/** One request and its answer. */
export interface Exchange {
  readonly request: ApiRequest;
  /** True when the head of an answer is out. */
  readonly hasBegun: boolean;
  /** Answers in one go. */
  respond(status: number, headers: ResponseHeaders, body: Uint8Array | string): void;
  /** Sends the head; the body follows in pieces. */
  respondStream(status: number, headers: ResponseHeaders): BodyStream;
  /** Ends the exchange without a proper answer: it had begun already. */
  abort(): void;
}
