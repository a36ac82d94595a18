/**
 * Answers that are compressed, as apiserver's responsewriters: above 128 KiB, for clients that accept gzip, at the quickest level. zlib works in threads of its own.
 */
import { createGzip, type Gzip, gzip } from "node:zlib";
import type { ApiRequest } from "#apiserver/api-request.ts";
import type { BodyStream, ResponseHeaders } from "./exchange.ts";

/** What is shorter is sent as it is. */
export const GZIP_THRESHOLD_BYTES: number = 128 * 1024;

const LEVEL = 1;

/** True when the client takes gzip. */
export function acceptsGzip({ headers }: ApiRequest): boolean {
  const accepted = headers["accept-encoding"];
  return typeof accepted === "string" && accepted.split(",").some((encoding) => encoding.trim() === "gzip");
}

/** The headers of a compressed answer. */
export function gzipHeaders(headers: ResponseHeaders): ResponseHeaders {
  return { ...headers, "content-encoding": "gzip", vary: "Accept-Encoding" };
}

/** All of a body at once. */
export function gzipWhole(body: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) =>
    gzip(body, { level: LEVEL }, (error, result) => (error === null ? resolve(result) : reject(error))),
  );
}

/** A body that is compressed as it is written. */
export class GzipBody implements Pick<BodyStream, "send" | "end" | "isClosed"> {
  readonly #body: BodyStream;
  readonly #gzip: Gzip = createGzip({ level: LEVEL, chunkSize: 64 * 1024 });

  constructor(body: BodyStream) {
    this.#body = body;
    this.#gzip.on("data", (chunk: Buffer) => body.write(chunk));
    this.#gzip.on("end", () => body.end());
    this.#gzip.on("error", () => body.abort());
    body.onClose(() => this.#gzip.destroy());
  }

  get isClosed(): boolean {
    return this.#body.isClosed;
  }

  /** Resolves when the chunk is compressed and the client has room for what it came to. */
  async send(chunk: Uint8Array): Promise<void> {
    if (this.#gzip.destroyed) return;
    await new Promise<void>((resolve) => this.#gzip.write(chunk, () => resolve()));
    await this.#body.drained();
  }

  end(): void {
    this.#gzip.end();
  }
}
