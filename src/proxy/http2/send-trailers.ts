/**
 * Ends a stream with its trailers; without any it ends all the same.
 */
import { constants, type Http2Stream } from "node:http2";
import type { Fields } from "#proxy/message/fields.ts";
import { addFields, emptyHeaders } from "./field-lists.ts";

export function sendTrailers(stream: Http2Stream, trailers: Fields): void {
  try {
    stream.sendTrailers(addFields(emptyHeaders(), trailers));
  } catch {
    // The stream ended in this very turn, or HTTP/2 knows no such trailers.
    stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }
}
