/**
 * Writes heads and bodies as HTTP/1.1. Fields are taken as they are: all of them came through a strict reader or were checked when the configuration was.
 */
import type { Fields } from "#proxy/message/fields.ts";
import { type BodyLength, CHUNKED } from "#proxy/message/heads.ts";

/** What a request's head on an upstream's connection says. */
export type RequestLines = {
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  readonly fields: Fields;
  readonly bodyLength: BodyLength;
  readonly takesTrailers: boolean;
  readonly upgrade: string | undefined;
};

/** What a response's head on a client's connection says. */
export type ResponseLines = {
  readonly status: number;
  readonly reason: string;
  readonly fields: Fields;
  /** CHUNKED; UNTIL_CLOSE or undefined: no line about it. */
  readonly bodyLength: BodyLength | undefined;
  /** The Connection field: close, keep-alive (to HTTP/1.0), upgrade, or none. */
  readonly connection: "close" | "keep-alive" | "upgrade" | undefined;
  readonly upgrade: string | undefined;
};

/** Last chunk and no trailers. */
export const endOfChunks = "0\r\n\r\n";

export function requestHeadText(lines: RequestLines): string {
  const { method, target, authority, bodyLength, upgrade } = lines;
  let text = `${method} ${target} HTTP/1.1\r\nhost: ${authority}\r\n${fieldLines(lines.fields)}`;
  if (bodyLength === CHUNKED) text += "transfer-encoding: chunked\r\n";
  else if (bodyLength > 0 || method === "POST" || method === "PUT" || method === "PATCH")
    text += `content-length: ${bodyLength}\r\n`;
  if (upgrade !== undefined) text += `connection: upgrade\r\nupgrade: ${upgrade}\r\n`;
  else if (lines.takesTrailers) text += "connection: te\r\nte: trailers\r\n";
  return `${text}\r\n`;
}

export function responseHeadText(lines: ResponseLines): string {
  const { status, reason, bodyLength, connection, upgrade } = lines;
  let text = `HTTP/1.1 ${status} ${reason}\r\n${fieldLines(lines.fields)}`;
  if (bodyLength === CHUNKED) text += "transfer-encoding: chunked\r\n";
  else if (bodyLength !== undefined && bodyLength >= 0) text += `content-length: ${bodyLength}\r\n`;
  if (connection !== undefined) text += `connection: ${connection}\r\n`;
  if (upgrade !== undefined) text += `upgrade: ${upgrade}\r\n`;
  return `${text}\r\n`;
}

/** The line before a chunk's data; `\r\n` follows the data. */
export function chunkLine(bytes: number): string {
  return `${bytes.toString(16)}\r\n`;
}

/** What ends a chunked body. */
export function endOfChunksText(trailers: Fields): string {
  return trailers.length === 0 ? endOfChunks : `0\r\n${fieldLines(trailers)}\r\n`;
}

function fieldLines(fields: Fields): string {
  let text = "";
  for (let index = 0; index < fields.length; index += 2) text += `${fields[index]}: ${fields[index + 1]}\r\n`;
  return text;
}
