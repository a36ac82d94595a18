/**
 * Reads one answer to a GET out of a connection's bytes, to the connection's end: for tests that compare what our readers and others make of the same bytes.
 */
import { BadMessage } from "#proxy/http1/bad-message.ts";
import { BodyReader } from "#proxy/http1/body-reader.ts";
import { defaultLimits } from "#proxy/http1/limits.ts";
import { ResponseReader } from "#proxy/http1/response-reader.ts";
import type { ResponseHead } from "#proxy/message/heads.ts";

export type ReadAnswer = {
  readonly error: BadMessage | undefined;
  /** Undefined: there was no whole answer. */
  readonly answer: { readonly head: ResponseHead; readonly body: string } | undefined;
};

export function readResponse(bytes: Buffer): ReadAnswer {
  try {
    return { error: undefined, answer: readWhole(bytes) };
  } catch (error) {
    if (!(error instanceof BadMessage)) throw error;
    return { error, answer: undefined };
  }
}

function readWhole(bytes: Buffer): ReadAnswer["answer"] {
  const heads = new ResponseReader(defaultLimits);
  let read = heads.read(bytes, 0, "GET");
  while (read !== undefined && read.head.status < 200) read = heads.read(bytes, read.end, "GET");
  if (read === undefined) return undefined;
  const { head, end } = read;
  const body = new BodyReader(defaultLimits);
  let text = "";
  const sink = { onBody: (piece: Buffer) => void (text += piece.toString("latin1")), onBodyEnd: () => {} };
  body.begin(head.bodyLength);
  for (let at = end; body.isReading && at < bytes.length; ) at = body.read(bytes, at, sink);
  return body.isReading && !body.endsWithConnection ? undefined : { head, body: text };
}
