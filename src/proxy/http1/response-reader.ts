/**
 * Reads responses' heads from upstreams, as strictly as requests: a server that is being tricked answers ambiguously too. Whether there is a body depends on what was asked (RFC 9112 6.3).
 */
import { type BodyLength, CHUNKED, type ResponseHead, UNTIL_CLOSE } from "#proxy/message/heads.ts";
import { BadMessage } from "./bad-message.ts";
import { isFieldValue } from "./characters.ts";
import { type ConnectionFields, readConnectionFields } from "./connection-fields.ts";
import { HeadReader } from "./head-reader.ts";
import type { MessageLimits } from "./limits.ts";

/** A head, and where the bytes behind it begin. */
export type ReadResponse = { readonly head: ResponseHead; readonly end: number };

/** Reads the heads of one connection's responses, informational ones included. */
export class ResponseReader {
  readonly #lines: HeadReader;

  constructor(limits: MessageLimits) {
    this.#lines = new HeadReader(limits, true);
  }

  /** As {@link HeadReader.read}, for a response to `method`. */
  read(bytes: Buffer, from: number, method: string): ReadResponse | undefined {
    const lines = this.#lines.read(bytes, from);
    if (lines === undefined) return undefined;
    return { head: responseHead(lines.startLine, lines.fields, method), end: lines.end };
  }
}

function responseHead(line: string, fields: readonly string[], method: string): ResponseHead {
  const version = line.startsWith("HTTP/1.1 ") ? "1.1" : line.startsWith("HTTP/1.0 ") ? "1.0" : undefined;
  if (version === undefined) throw new BadMessage("start-line", "the status line does not begin with a known version");
  // The space behind the status is required, but many servers leave it away with the reason.
  const code = line.slice(9, 12);
  const reason = line.slice(13);
  if (!/^[1-9]\d\d$/.test(code) || (line.length > 12 && line[12] !== " ") || !isFieldValue(reason))
    throw new BadMessage("start-line", "the status line is not version, status and reason");
  const status = Number(code);
  const own = readConnectionFields(fields, false);
  if (own.isChunked && version === "1.0")
    throw new BadMessage("transfer-coding", "HTTP/1.0 knows no Transfer-Encoding");
  const isBodiless = method === "HEAD" || status === 204 || status === 304 || status < 200;
  if (own.isChunked && (status < 200 || status === 204))
    throw new BadMessage("body-framing", `a ${status} has a Transfer-Encoding`);
  const bodyLength = isBodiless ? 0 : lengthOf(own);
  return {
    version,
    status,
    reason,
    fields: withLength(own, isBodiless && status >= 200 && status !== 204),
    bodyLength,
    upgrade: status === 101 ? own.upgrade : undefined,
    keepsAlive: bodyLength !== UNTIL_CLOSE && !own.closes && (version === "1.1" || own.keepsAlive),
  };
}

function lengthOf(own: ConnectionFields): BodyLength {
  return own.isChunked ? CHUNKED : (own.contentLength ?? UNTIL_CLOSE);
}

/** The answer to a HEAD tells the length of a body that does not come: there it is end-to-end. */
function withLength(own: ConnectionFields, tellsLength: boolean): readonly string[] {
  if (!tellsLength || own.contentLength === undefined) return own.endToEnd;
  return [...own.endToEnd, "content-length", String(own.contentLength)];
}
