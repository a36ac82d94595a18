/**
 * A JSON value that nobody has parsed: what stands for fieldsV1, half of an object's bytes, where they only pass through.
 */

/** The value's text in UTF-8, as JSON.stringify would write it. */
export class RawJson {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}
