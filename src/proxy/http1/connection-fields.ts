/**
 * The fields that concern one connection, taken out of a head: what they say becomes properties, what remains is end-to-end. Both kinds of head use it; framing is decided here once.
 * RFC 9110 7.6.1, RFC 9112 6.
 */
import { isFieldValue, isToken } from "./characters.ts";
import { BadMessage } from "./bad-message.ts";

/** What a head says of its connection, and the fields that are left. */
export type ConnectionFields = {
  readonly endToEnd: string[];
  /** Bytes, as Content-Length says. */
  readonly contentLength: number | undefined;
  readonly isChunked: boolean;
  readonly closes: boolean;
  readonly keepsAlive: boolean;
  /** The Upgrade field, where Connection names it too. */
  readonly upgrade: string | undefined;
  readonly takesTrailers: boolean;
  readonly expectsContinue: boolean;
  readonly host: string | undefined;
};

type Found = {
  contentLength: string | undefined;
  transferEncoding: string | undefined;
  connection: string | undefined;
  upgrade: string | undefined;
  te: string | undefined;
  expect: string | undefined;
  host: string | undefined;
};

/** Sorts `fields`. Throws {@link BadMessage} when they leave any doubt where the body ends or for which host it is. */
export function readConnectionFields(fields: readonly string[], isRequest: boolean): ConnectionFields {
  const endToEnd: string[] = [];
  const found: Found = {
    contentLength: undefined,
    transferEncoding: undefined,
    connection: undefined,
    upgrade: undefined,
    te: undefined,
    expect: undefined,
    host: undefined,
  };
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] as string;
    const value = fields[index + 1] as string;
    if (!take(found, name, value, isRequest)) endToEnd.push(name, value);
  }
  const options = connectionOptions(found.connection);
  if (found.transferEncoding !== undefined && found.contentLength !== undefined)
    throw new BadMessage("body-framing", "Transfer-Encoding and Content-Length stand in one message");
  return {
    endToEnd: withoutNamed(endToEnd, options),
    contentLength: lengthOf(found.contentLength),
    isChunked: isChunked(found.transferEncoding),
    closes: options.includes("close"),
    keepsAlive: options.includes("keep-alive"),
    upgrade: options.includes("upgrade") ? found.upgrade : undefined,
    takesTrailers:
      options.includes("te") || found.te !== undefined ? /(^|[\s,])trailers\b/i.test(found.te ?? "") : false,
    expectsContinue: expectsContinue(found.expect),
    host: found.host,
  };
}

/** Whether the field belongs to the connection. */
function take(found: Found, name: string, value: string, isRequest: boolean): boolean {
  switch (name) {
    case "content-length":
      if (found.contentLength !== undefined) throw new BadMessage("body-framing", "there are several Content-Length");
      found.contentLength = value;
      return true;
    case "transfer-encoding":
      if (found.transferEncoding !== undefined)
        throw new BadMessage("transfer-coding", "there are several Transfer-Encoding");
      found.transferEncoding = value;
      return true;
    case "connection":
      found.connection = found.connection === undefined ? value : `${found.connection},${value}`;
      return true;
    case "upgrade":
      found.upgrade = found.upgrade === undefined ? value : `${found.upgrade}, ${value}`;
      return true;
    case "host":
      if (!isRequest) return false;
      if (found.host !== undefined) throw new BadMessage("host", "there are several Host fields");
      found.host = value;
      return true;
    case "te":
      found.te = found.te === undefined ? value : `${found.te},${value}`;
      return true;
    case "expect":
      if (!isRequest) return false;
      found.expect = found.expect === undefined ? value : `${found.expect},${value}`;
      return true;
    case "keep-alive":
    case "proxy-connection":
    case "http2-settings":
      return true;
    default:
      return false;
  }
}

const none: readonly string[] = [];
const plainOptions: ReadonlyMap<string, readonly string[]> = new Map([
  ["", none],
  ["close", ["close"]],
  ["keep-alive", ["keep-alive"]],
  ["upgrade", ["upgrade"]],
]);

function connectionOptions(connection: string | undefined): readonly string[] {
  if (connection === undefined) return none;
  const lower = connection.toLowerCase();
  const plain = plainOptions.get(lower);
  if (plain !== undefined) return plain;
  const options = lower
    .split(",")
    .map(trimBlanks)
    .filter((option) => option !== "");
  const bad = options.find((option) => !isToken(option));
  if (bad !== undefined) throw new BadMessage("field", "Connection names something that is no token");
  return options;
}

/** A message may call its own fields hop-by-hop. Those that the next hop trusts us for are added later, so nobody can take them away. */
function withoutNamed(endToEnd: string[], options: readonly string[]): string[] {
  if (options.length === 0) return endToEnd;
  const named = options.filter((option) => option !== "close" && option !== "keep-alive" && option !== "upgrade");
  if (named.length === 0) return endToEnd;
  return endToEnd.filter((_, index) => !named.includes(endToEnd[index - (index % 2)] as string));
}

function lengthOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text)) throw new BadMessage("body-framing", "Content-Length is no number");
  const length = Number(text);
  // Leading zeros are legal, but others have read them as octal.
  if (text.length > 1 && text.startsWith("0"))
    throw new BadMessage("body-framing", "Content-Length begins with a zero");
  if (!Number.isSafeInteger(length)) throw new BadMessage("body-framing", "Content-Length is too large", 413);
  return length;
}

function isChunked(transferEncoding: string | undefined): boolean {
  if (transferEncoding === undefined) return false;
  if (transferEncoding.toLowerCase() === "chunked") return true;
  const codings = transferEncoding.toLowerCase().split(",").map(trimBlanks);
  const last = codings.at(-1);
  if (last !== "chunked" || codings.indexOf("chunked") !== codings.length - 1 || codings.includes(""))
    throw new BadMessage("transfer-coding", "Transfer-Encoding does not end in one chunked");
  throw new BadMessage("transfer-coding", "only the transfer coding chunked is known", 501);
}

function expectsContinue(expect: string | undefined): boolean {
  if (expect === undefined) return false;
  if (expect.toLowerCase() !== "100-continue")
    throw new BadMessage("field", "an expectation other than 100-continue", 417);
  return true;
}

function trimBlanks(text: string): string {
  return text.replace(/^[ \t]+|[ \t]+$/g, "");
}

/** Whether a field may be sent on: what others hand in is looked at as strictly as what came by wire. */
export function isSendable(name: string, value: string): boolean {
  return isToken(name) && isFieldValue(value);
}
