/**
 * The fields of a request as the upstream gets them: the client's, less what only we may say, plus what we know of the client (X-Forwarded-*) and a name for the request.
 */
import { randomUUID } from "node:crypto";
import { isToken } from "#proxy/http1/characters.ts";
import { type Fields, findField, withoutFields } from "#proxy/message/fields.ts";
import type { RequestHead } from "#proxy/message/heads.ts";
import type { ClientFacts } from "./streams.ts";

/** Claims about who asked. Nobody but a trusted proxy before us may make them. */
const claims: ReadonlySet<string> = new Set([
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-proto",
  "x-real-ip",
]);

const LONGEST_ID = 128;

/** The fields, and the request's name in them. */
export type ForwardedFields = { readonly fields: Fields; readonly requestId: string };

export function forwardedFields(head: RequestHead, facts: ClientFacts): ForwardedFields {
  const given = findField(head.fields, "x-request-id");
  const isKept = given !== undefined && given !== "" && given.length <= LONGEST_ID;
  const requestId = isKept ? given : randomUUID();
  const fields = facts.trustsForwarded ? trusting(head, facts) : replacing(head, facts);
  if (given !== undefined && !isKept)
    return { fields: [...withoutFields(fields, isRequestId), "x-request-id", requestId], requestId };
  if (given === undefined) fields.push("x-request-id", requestId);
  return { fields, requestId };
}

/** The fields with Forwarded (RFC 7239): an element for each address of X-Forwarded-For; host and scheme are those that the first one asked for. A Forwarded that was trusted stays. */
export function withForwarded(fields: Fields): Fields {
  if (findField(fields, "forwarded") !== undefined) return fields;
  const host = findField(fields, "x-forwarded-host");
  const scheme = findField(fields, "x-forwarded-proto");
  const addresses = findField(fields, "x-forwarded-for") ?? "";
  const [first = "", ...rest] = addresses.includes(",") ? addresses.split(/\s*,\s*/) : [addresses];
  let elements = `for=${node(first)}`;
  if (host !== undefined) elements += `;host=${quoted(host)}`;
  if (scheme !== undefined) elements += `;proto=${quoted(scheme)}`;
  for (const address of rest) elements += `, for=${node(address)}`;
  return [...fields, "forwarded", elements];
}

/** IPv6 addresses stand in brackets. */
function node(address: string): string {
  return quoted(address.includes(":") && !address.startsWith("[") ? `[${address}]` : address);
}

/** As it is where it is a token, else in quotes. */
function quoted(text: string): string {
  return isToken(text) ? text : `"${text.replaceAll(/[\\"]/g, "\\$&")}"`;
}

/** Trailers may not say what fields may not say. */
export function withoutClaims(trailers: Fields): Fields {
  return withoutFields(trailers, (name) => claims.has(name));
}

function isRequestId(name: string): boolean {
  return name === "x-request-id";
}

function replacing(head: RequestHead, facts: ClientFacts): string[] {
  const fields: string[] = [];
  for (let index = 0; index < head.fields.length; index += 2) {
    const name = head.fields[index] as string;
    if (!claims.has(name)) fields.push(name, head.fields[index + 1] as string);
  }
  fields.push("x-forwarded-for", facts.address, "x-forwarded-proto", facts.isTls ? "https" : "http");
  if (head.authority !== "") fields.push("x-forwarded-host", head.authority);
  return fields;
}

/** The list of addresses grows by one; the rest stays as the first proxy said it. */
function trusting(head: RequestHead, facts: ClientFacts): string[] {
  const before = findField(head.fields, "x-forwarded-for");
  const fields = [...withoutFields(head.fields, (name) => name === "x-forwarded-for")];
  fields.push("x-forwarded-for", before === undefined ? facts.address : `${before}, ${facts.address}`);
  if (findField(fields, "x-forwarded-proto") === undefined)
    fields.push("x-forwarded-proto", facts.isTls ? "https" : "http");
  if (findField(fields, "x-forwarded-host") === undefined && head.authority !== "")
    fields.push("x-forwarded-host", head.authority);
  return fields;
}
