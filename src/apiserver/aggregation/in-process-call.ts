/**
 * Requests of parts in this process to another server: the garbage collector and the end of namespaces see to all kinds there are.
 */
import type { IncomingMessage } from "node:http";
import { deepFreeze } from "#apimachinery/freeze.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { failureOf } from "#apiserver/connect/tunnel.ts";
import { parseJsonLines } from "#client/line-stream.ts";
import type { WatchEvent } from "#client/transport.ts";
import type { RemoteApi } from "./remote-api.ts";
import { readText } from "./remote-documents.ts";

/** Largest answer that is read, in bytes. */
const maxAnswerBytes = 256 << 20;
const maxBodyBytes = 3 << 20;

/** 503 for a server that is known not to answer. */
export function unavailable(): StatusError {
  return new StatusError({ reason: "ServiceUnavailable", code: 503, message: "service unavailable" });
}

/** Sends the request and reads the answer. Throws the other server's failures as StatusError. */
export async function callRemote(api: RemoteApi, { request, info, user }: RequestContext): Promise<ApiResult> {
  const hasBody = request.method !== "GET";
  const read = hasBody ? await request.readBody(maxBodyBytes) : undefined;
  const { accept = "application/json" } = request.headers;
  const response = await api.send({
    method: request.method,
    path: request.path + (request.query.text === "" ? "" : `?${request.query.text}`),
    user,
    headers: { accept: String(accept), ...(read === undefined ? {} : { "content-type": read.mediaType }) },
    ...(read === undefined ? {} : { body: read.form === "bytes" ? read.bytes : (JSON.stringify(read.value) ?? "") }),
    signal: request.signal(),
  });
  const code = response.statusCode ?? 500;
  if (code >= 400) throw failureOf(code, await readText(response, maxAnswerBytes));
  if (info.verb === "watch") return { type: "events", events: eventsOf(response) };
  const contentType = response.headers["content-type"] ?? "application/json";
  return { type: "bytes", status: code, contentType, body: await readText(response, maxAnswerBytes) };
}

async function* eventsOf(response: IncomingMessage): AsyncGenerator<WatchEvent, void, undefined> {
  try {
    for await (const event of parseJsonLines(response)) yield deepFreeze(event as WatchEvent);
  } finally {
    response.destroy();
  }
}
