/**
 * Exchanges over HTTP/1.1.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ApiRequest, RequestBody } from "#apiserver/api-request.ts";
import { readAll, tooLarge } from "./body-limit.ts";
import { type CertificateReader, credentialsOf } from "./credentials.ts";
import type { BodyStream, Exchange } from "./exchange.ts";
import { parseQuery } from "./query.ts";

/** An exchange on a request and its response. */
export function createHttp1Exchange(
  message: IncomingMessage,
  response: ServerResponse,
  certificates: CertificateReader,
): Exchange {
  response.on("error", () => {});
  message.on("error", () => {});
  return {
    request: requestOf(message, certificates),
    get hasBegun() {
      return response.headersSent;
    },
    respond(status, headers, body) {
      if (response.destroyed || response.headersSent) return;
      const length = typeof body === "string" ? Buffer.byteLength(body) : body.length;
      // A body that was not read to its end would be taken for the next request.
      if (!message.complete) headers["connection"] = "close";
      response.writeHead(status, { ...headers, "content-length": length });
      response.end(body);
    },
    respondStream(status, headers) {
      if (!response.destroyed && !response.headersSent) response.writeHead(status, headers);
      return bodyStream(response);
    },
    abort: () => void response.destroy(),
  };
}

/** The request of an HTTP/1.1 message; also of one that is going to be upgraded. */
export function requestOf(message: IncomingMessage, certificates: CertificateReader): ApiRequest {
  const target = message.url ?? "/";
  const mark = target.indexOf("?");
  return {
    method: message.method ?? "GET",
    path: mark < 0 ? target : target.slice(0, mark),
    query: parseQuery(mark < 0 ? "" : target.slice(mark + 1)),
    headers: message.headers,
    credentials: credentialsOf(message.headers, certificates.read(message.socket)),
    remoteAddress: message.socket.remoteAddress ?? "",
    readBody: (limitBytes) => readBody(message, limitBytes),
    signal: () => closeSignal(message),
  };
}

async function readBody(message: IncomingMessage, limitBytes: number): Promise<RequestBody> {
  const mediaType = message.headers["content-type"] ?? "";
  if (Number(message.headers["content-length"] ?? 0) > limitBytes) throw tooLarge(limitBytes);
  if (message.complete && message.readableLength === 0) return { form: "bytes", mediaType, bytes: Buffer.alloc(0) };
  return { form: "bytes", mediaType, bytes: await readAll(message, limitBytes) };
}

function closeSignal(message: IncomingMessage): AbortSignal {
  const controller = new AbortController();
  if (message.socket.destroyed) controller.abort();
  else message.socket.once("close", () => controller.abort());
  return controller.signal;
}

function bodyStream(response: ServerResponse): BodyStream {
  return {
    write: (chunk) => (response.destroyed ? true : response.write(chunk)),
    send: (chunk) =>
      new Promise((resolve) => {
        if (response.destroyed) return resolve();
        const done = (): void => {
          response.off("close", done);
          resolve();
        };
        response.on("close", done);
        response.write(chunk, done);
      }),
    drained: () =>
      new Promise((resolve) => {
        if (response.destroyed || !response.writableNeedDrain) return resolve();
        const done = (): void => {
          response.off("drain", done);
          response.off("close", done);
          resolve();
        };
        response.on("drain", done);
        response.on("close", done);
      }),
    get bufferedBytes() {
      return response.writableLength;
    },
    get isClosed() {
      return response.destroyed || response.closed;
    },
    end: () => void (response.destroyed || response.end()),
    abort: () => void response.destroy(),
    onClose: (callback) => void (response.destroyed ? callback() : response.once("close", callback)),
  };
}
