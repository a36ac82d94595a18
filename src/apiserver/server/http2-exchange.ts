/**
 * Exchanges over HTTP/2, on Node's streams without its compatibility layer, which costs a fifth of the throughput.
 */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { ApiRequest, RequestBody } from "#apiserver/api-request.ts";
import { readAll } from "./body-limit.ts";
import { type CertificateReader, credentialsOf } from "./credentials.ts";
import type { BodyStream, Exchange, ResponseHeaders } from "./exchange.ts";
import { parseQuery } from "./query.ts";

/** An exchange on a stream. */
export function createHttp2Exchange(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  certificates: CertificateReader,
): Exchange {
  const target = headers[":path"] ?? "/";
  const mark = target.indexOf("?");
  const socket = stream.session?.socket;
  const request: ApiRequest = {
    method: headers[":method"] ?? "GET",
    path: mark < 0 ? target : target.slice(0, mark),
    query: parseQuery(mark < 0 ? "" : target.slice(mark + 1)),
    headers,
    credentials: credentialsOf(headers, socket === undefined ? undefined : certificates.read(socket)),
    remoteAddress: socket?.remoteAddress ?? "",
    readBody: (limitBytes) => readBody(stream, headers, limitBytes),
    signal: () => closeSignal(stream),
  };
  // A client that resets its stream is no error of ours.
  stream.on("error", () => {});
  return {
    request,
    get hasBegun() {
      return stream.headersSent;
    },
    respond: (status, responseHeaders, body) => respond(stream, withStatus(status, responseHeaders), body),
    respondStream: (status, responseHeaders) => {
      if (!stream.destroyed && !stream.headersSent) stream.respond(withStatus(status, responseHeaders));
      return bodyStream(stream);
    },
    abort: () => stream.close(constants.NGHTTP2_INTERNAL_ERROR),
  };
}

function withStatus(status: number, headers: ResponseHeaders): ResponseHeaders {
  headers[":status"] = status;
  return headers;
}

function respond(stream: ServerHttp2Stream, headers: ResponseHeaders, body: Uint8Array | string): void {
  if (stream.destroyed || stream.headersSent) return;
  stream.respond(headers);
  if (stream.readableEnded || stream.endAfterHeaders) return void stream.end(body);
  // What the client still sends (a body that was too large, or too slow) is not waited for.
  stream.end(body, () => stream.close(constants.NGHTTP2_NO_ERROR));
  if (stream.readableFlowing === false) stream.resume();
}

async function readBody(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  limitBytes: number,
): Promise<RequestBody> {
  const mediaType = headers["content-type"] ?? "";
  if (stream.readableEnded || stream.endAfterHeaders) return { form: "bytes", mediaType, bytes: Buffer.alloc(0) };
  return { form: "bytes", mediaType, bytes: await readAll(stream, limitBytes) };
}

function closeSignal(stream: ServerHttp2Stream): AbortSignal {
  const controller = new AbortController();
  if (stream.destroyed) controller.abort();
  else stream.once("close", () => controller.abort());
  return controller.signal;
}

function bodyStream(stream: ServerHttp2Stream): BodyStream {
  return {
    write: (chunk) => (stream.destroyed ? true : stream.write(chunk)),
    send: (chunk) =>
      new Promise((resolve) => {
        if (stream.destroyed) return resolve();
        const done = (): void => {
          stream.off("close", done);
          resolve();
        };
        stream.on("close", done);
        stream.write(chunk, done);
      }),
    drained: () =>
      new Promise((resolve) => {
        if (stream.destroyed || !stream.writableNeedDrain) return resolve();
        const done = (): void => {
          stream.off("drain", done);
          stream.off("close", done);
          resolve();
        };
        stream.on("drain", done);
        stream.on("close", done);
      }),
    get bufferedBytes() {
      return stream.writableLength;
    },
    get isClosed() {
      return stream.destroyed || stream.closed;
    },
    end: () => void (stream.destroyed || stream.end()),
    abort: () => {
      // A stream that waits for its client's window closes only when it is destroyed.
      stream.close(constants.NGHTTP2_CANCEL);
      stream.destroy();
    },
    onClose: (callback) => void (stream.destroyed ? callback() : stream.once("close", callback)),
  };
}
