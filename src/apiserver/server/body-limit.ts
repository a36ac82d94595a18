/**
 * Reading request bodies up to a limit.
 */
import type { Readable } from "node:stream";
import { StatusError } from "#apimachinery/status-error.ts";

/** All of a body. Throws RequestEntityTooLarge (413) as soon as it is longer than the limit. */
export function readAll(stream: Readable, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    stream.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > limitBytes) {
        stream.pause();
        stream.removeAllListeners("data");
        reject(tooLarge(limitBytes));
      } else chunks.push(chunk);
    });
    stream.on("end", () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size)));
    stream.on("error", reject);
    // Every stream closes: only one that has not ended yet is gone.
    stream.on("close", () => stream.readableEnded || reject(gone()));
  });
}

/** 413. */
export function tooLarge(limitBytes: number): StatusError {
  return new StatusError({
    reason: "RequestEntityTooLarge",
    code: 413,
    message: `Request entity too large: limit is ${limitBytes}`,
  });
}

function gone(): StatusError {
  return new StatusError({ reason: "Timeout", code: 504, message: "the client went away before its request was read" });
}
