/**
 * Requests' heads as HTTP/2 brings them. What becomes an HTTP/1.1 request behind us is looked at as strictly as if it had come as one.
 */
import { isAuthority, isFieldValue, isTarget, isToken } from "#proxy/http1/characters.ts";
import { methods } from "#proxy/http1/methods.ts";
import { CHUNKED, type RequestHead } from "#proxy/message/heads.ts";
import { fieldsOf, lengthIn } from "./field-lists.ts";

/** The head, or the status with which it is refused. */
export function readRequestHead(raw: readonly string[], isWhole: boolean): RequestHead | number {
  const pseudo = new Map<string, string>();
  let host: string | undefined;
  let takesTrailers = false;
  let expectsContinue = false;
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index] ?? "";
    const value = raw[index + 1] ?? "";
    if (name.startsWith(":")) pseudo.set(name, value);
    else if (!isToken(name) || !isFieldValue(value)) return 400;
    else if (name === "host") host = value.toLowerCase();
    else if (name === "te") takesTrailers = value.toLowerCase().includes("trailers");
    else if (name === "expect") expectsContinue = value.toLowerCase() === "100-continue";
    else if (name === "transfer-encoding" || name === "connection" || name === "upgrade") return 400;
  }
  const method = pseudo.get(":method") ?? "";
  const target = pseudo.get(":path") ?? "";
  const authority = pseudo.get(":authority")?.toLowerCase() ?? host ?? "";
  if (!methods.has(method) || method === "CONNECT") return 501;
  if (!isTarget(target) || !(target.startsWith("/") || (target === "*" && method === "OPTIONS"))) return 400;
  if (authority === "" || !isAuthority(authority) || (host !== undefined && host !== authority)) return 400;
  return {
    version: "2",
    method,
    target,
    authority,
    fields: fieldsOf(raw, false),
    bodyLength: isWhole ? 0 : (lengthIn(raw) ?? CHUNKED),
    expectsContinue,
    takesTrailers,
    upgrade: undefined,
    keepsAlive: true,
  };
}
