/**
 * Answers of our own: a status and a line of text; to gRPC clients the same as gRPC says it (trailers only, HTTP status 200), so that they see why and not a broken stream.
 */
import { STATUS_CODES } from "node:http";
import { type Fields, findField } from "#proxy/message/fields.ts";
import type { RequestHead } from "#proxy/message/heads.ts";
import type { ResponseStart } from "./streams.ts";

/** An answer, ready to send. */
export type LocalReply = { readonly start: ResponseStart; readonly body: Buffer };

/** gRPC's codes for HTTP statuses (grpc/doc/http-grpc-status-mapping.md). */
const grpcCodes: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 4,
};

export function localReply(head: RequestHead, status: number, message: string, more: Fields = []): LocalReply {
  const type = findField(head.fields, "content-type");
  if (type?.startsWith("application/grpc") === true) return grpcReply(type, status, message);
  const body = Buffer.from(message === "" ? "" : `${message}\n`);
  const isTyped = findField(more, "content-type") !== undefined || body.length === 0;
  const fields = isTyped ? more : ["content-type", "text/plain; charset=utf-8", ...more];
  const start = {
    status,
    reason: reasonOf(status),
    fields: dated(fields),
    bodyLength: body.length,
    upgrade: undefined,
  };
  return { start, body };
}

/** The usual words behind a status. */
export function reasonOf(status: number): string {
  return STATUS_CODES[status] ?? "";
}

function grpcReply(type: string, status: number, message: string): LocalReply {
  const code = grpcCodes[status] ?? (status >= 500 ? 13 : 2);
  const fields = ["content-type", type, "grpc-status", String(code), "grpc-message", encodeURIComponent(message)];
  const start = { status: 200, reason: "OK", fields: dated(fields), bodyLength: 0, upgrade: undefined };
  return { start, body: Buffer.alloc(0) };
}

function dated(fields: Fields): Fields {
  return [...fields, "date", new Date().toUTCString()];
}
