/**
 * Reads requests' heads: the line (RFC 9112 3), the target's four forms, the one host that a request is for, and its framing.
 */
import { CHUNKED, type RequestHead } from "#proxy/message/heads.ts";
import { BadMessage } from "./bad-message.ts";
import { CR, isAuthority, isTarget, isToken, LF } from "./characters.ts";
import { type ConnectionFields, readConnectionFields } from "./connection-fields.ts";
import { HeadReader } from "./head-reader.ts";
import type { MessageLimits } from "./limits.ts";
import { methods } from "./methods.ts";

/** A head, and where the bytes behind it begin. */
export type ReadRequest = { readonly head: RequestHead; readonly end: number };

type Target = { readonly target: string; readonly authority: string | undefined };

/** Reads the heads of one connection's requests. */
export class RequestReader {
  readonly #lines: HeadReader;

  constructor(limits: MessageLimits) {
    this.#lines = new HeadReader(limits, true);
  }

  /** As {@link HeadReader.read}. One empty line before the request is skipped: old clients end a body with it. */
  read(bytes: Buffer, from: number): ReadRequest | undefined {
    const start = bytes[from] === CR && bytes[from + 1] === LF ? from + 2 : from;
    const lines = start < bytes.length ? this.#lines.read(bytes, start) : undefined;
    if (lines === undefined) return undefined;
    return { head: requestHead(lines.startLine, lines.fields), end: lines.end };
  }
}

function requestHead(line: string, fields: readonly string[]): RequestHead {
  const first = line.indexOf(" ");
  const second = line.indexOf(" ", first + 1);
  if (first <= 0 || second < 0) throw new BadMessage("start-line", "the request line has not three parts");
  const method = line.slice(0, first);
  if (!isToken(method)) throw new BadMessage("start-line", "the method is no token");
  if (!methods.has(method)) throw new BadMessage("start-line", "the method is not known", 501);
  const version = versionOf(line.slice(second + 1));
  const own = readConnectionFields(fields, true);
  const { target, authority } = readTarget(method, line.slice(first + 1, second));
  if (own.isChunked && version === "1.0")
    throw new BadMessage("transfer-coding", "HTTP/1.0 knows no Transfer-Encoding");
  return {
    version,
    method,
    target,
    authority: authorityOf(version, own.host, authority),
    fields: own.endToEnd,
    bodyLength: own.isChunked ? CHUNKED : (own.contentLength ?? 0),
    expectsContinue: own.expectsContinue && version === "1.1",
    takesTrailers: own.takesTrailers,
    upgrade: version === "1.1" ? upgradeOf(own.upgrade) : undefined,
    keepsAlive: staysOpen(version, own),
  };
}

function versionOf(text: string): "1.0" | "1.1" {
  if (text === "HTTP/1.1") return "1.1";
  if (text === "HTTP/1.0") return "1.0";
  if (/^HTTP\/\d\.\d$/.test(text)) throw new BadMessage("version", "the HTTP version is not supported", 505);
  throw new BadMessage("start-line", "the request line does not end in a version");
}

function readTarget(method: string, text: string): Target {
  if (!isTarget(text)) throw new BadMessage("start-line", "the request target contains what must be escaped");
  if (method === "CONNECT") {
    if (!/:\d{1,5}$/.test(text) || !isAuthority(text))
      throw new BadMessage("start-line", "the target of a CONNECT is not host and port");
    return { target: text, authority: text.toLowerCase() };
  }
  if (text.startsWith("/")) return { target: text, authority: undefined };
  if (text === "*" && method === "OPTIONS") return { target: text, authority: undefined };
  const absolute = /^https?:\/\/([^/?]+)(.*)$/i.exec(text);
  if (absolute === null || !isAuthority(absolute[1] ?? ""))
    throw new BadMessage("start-line", "the request target is neither a path nor a URL");
  const rest = absolute[2] ?? "";
  // RFC 9112 3.2.4: a URL without a path asks with OPTIONS for the server as a whole.
  const path = rest === "" && method === "OPTIONS" ? "*" : rest.startsWith("/") ? rest : `/${rest}`;
  return { target: path, authority: (absolute[1] ?? "").toLowerCase() };
}

function authorityOf(version: string, host: string | undefined, authority: string | undefined): string {
  if (host === undefined) {
    if (version === "1.1") throw new BadMessage("host", "there is no Host field");
    return authority ?? "";
  }
  if (!isAuthority(host)) throw new BadMessage("host", "the Host field is not host and port");
  const named = host.toLowerCase();
  // RFC 9112 would have the target win; two hosts in one request are never honest.
  if (authority !== undefined && named !== authority && withoutPort(named) !== withoutPort(authority))
    throw new BadMessage("host", "Host field and request target name different hosts");
  return authority ?? named;
}

function withoutPort(authority: string): string {
  return authority.replace(/:\d*$/, "");
}

/** h2c is nothing for the next hop: it would speak past us (RFC 9113 3.1 has no upgrade any more). */
function upgradeOf(upgrade: string | undefined): string | undefined {
  if (upgrade === undefined || upgrade === "" || /(^|[\s,])h2c?($|[\s,])/i.test(upgrade)) return undefined;
  return upgrade;
}

function staysOpen(version: string, own: ConnectionFields): boolean {
  if (own.closes) return false;
  return version === "1.1" || own.keepsAlive;
}
