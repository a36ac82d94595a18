/**
 * A message that breaks RFC 9112, is ambiguous, or is larger than we take: the one error of all HTTP/1.1 parsers here. Whoever reads requests answers with `status` and closes;
 * whoever reads responses closes and answers 502.
 */

/** What was wrong, in words fit for a metric's label. */
export type BadMessageReason =
  | "body-framing"
  | "chunk"
  | "field"
  | "field-too-large"
  | "host"
  | "line-ending"
  | "start-line"
  | "target-too-long"
  | "trailer"
  | "transfer-coding"
  | "truncated"
  | "version";

/** A message that is refused. After it nothing on the connection can be trusted. */
export class BadMessage extends Error {
  readonly kind = "BadMessage";
  readonly reason: BadMessageReason;
  /** What a client is answered. */
  readonly status: 400 | 413 | 414 | 417 | 431 | 501 | 505;

  constructor(reason: BadMessageReason, message: string, status: BadMessage["status"] = 400) {
    super(message);
    this.reason = reason;
    this.status = status;
  }
}
