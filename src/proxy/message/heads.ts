/**
 * What a request and a response say before their bodies, whatever protocol carried them. Fields are end-to-end only: what concerns one connection (Connection, Transfer-Encoding, Content-Length,
 * Host, TE, Upgrade) is told by properties, so that nothing of one hop can leak into the next.
 */
import type { Fields } from "./fields.ts";

/** How long a body is: bytes, {@link CHUNKED} or {@link UNTIL_CLOSE}. */
export type BodyLength = number;

/** The length shows as the body comes. */
export const CHUNKED: BodyLength = -1;
/** The body ends with the connection. Responses only. */
export const UNTIL_CLOSE: BodyLength = -2;

export type HttpVersion = "1.0" | "1.1" | "2";

/** A request without its body. */
export type RequestHead = {
  readonly version: HttpVersion;
  readonly method: string;
  /** Path with query; `*` in an OPTIONS of the server as a whole; host and port in a CONNECT. */
  readonly target: string;
  /** Host, with port where it was given, in lower case. Empty: HTTP/1.0 without one. */
  readonly authority: string;
  /** End-to-end fields. */
  readonly fields: Fields;
  readonly bodyLength: BodyLength;
  /** The client waits for a 100 before it sends the body. */
  readonly expectsContinue: boolean;
  /** The client takes trailers (`TE: trailers`). */
  readonly takesTrailers: boolean;
  /** What the connection is to become, in the client's words; never h2c. */
  readonly upgrade: string | undefined;
  /** Another request may follow on this connection. */
  readonly keepsAlive: boolean;
};

/** A response without its body. */
export type ResponseHead = {
  readonly version: HttpVersion;
  readonly status: number;
  /** The words behind the status; empty where there are none. */
  readonly reason: string;
  readonly fields: Fields;
  readonly bodyLength: BodyLength;
  /** With 101: what the connection becomes. */
  readonly upgrade: string | undefined;
  readonly keepsAlive: boolean;
};
