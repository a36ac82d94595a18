/**
 * Fields between our flat lists and what node:http2 takes and gives.
 */
import type { OutgoingHttpHeaders } from "node:http2";
import type { Fields } from "#proxy/message/fields.ts";

/** Those of a raw list that are fields: no pseudo-fields, no length, and cookies in one again (RFC 9113 8.2.3). */
export function fieldsOf(raw: readonly string[], keepsLength: boolean): Fields {
  const fields: string[] = [];
  let cookies: string | undefined;
  for (let index = 0; index < raw.length; index += 2) {
    const name = (raw[index] ?? "").toLowerCase();
    const value = raw[index + 1] ?? "";
    if (name.startsWith(":") || hopByHop.has(name) || (name === "content-length" && !keepsLength)) continue;
    if (name === "cookie") cookies = cookies === undefined ? value : `${cookies}; ${value}`;
    else fields.push(name, value);
  }
  return cookies === undefined ? fields : [...fields, "cookie", cookies];
}

const hopByHop: ReadonlySet<string> = new Set([
  "connection",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
]);

/** Adds fields to an object for node:http2; repeated names become lists. */
export function addFields(to: OutgoingHttpHeaders, fields: Fields): OutgoingHttpHeaders {
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] as string;
    const value = fields[index + 1] as string;
    const known = to[name];
    if (known === undefined) to[name] = value;
    else to[name] = Array.isArray(known) ? [...known, value] : [String(known), value];
  }
  return to;
}

/** An object that inherits nothing: names come from outside. */
export function emptyHeaders(): OutgoingHttpHeaders {
  return Object.create(null) as OutgoingHttpHeaders;
}

/** The length of a body out of a raw list, as its Content-Length says. */
export function lengthIn(raw: readonly string[]): number | undefined {
  for (let index = 0; index < raw.length; index += 2) {
    if (raw[index]?.toLowerCase() !== "content-length") continue;
    const length = Number(raw[index + 1]);
    return Number.isSafeInteger(length) && length >= 0 ? length : undefined;
  }
  return undefined;
}
