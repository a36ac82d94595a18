/**
 * What objects have in common is transcoded once: pods of one template differ in a few places, so nearly every field and list item of an object stands, byte for byte, where the object before had it. What was made of it then is copied.
 * A complete JSON object or array is never the beginning of another, so that the same bytes are the same value.
 */
import { standsAt } from "./same-bytes.ts";

/** One object's text and what was made of it. */
type Transcoded = { readonly source: Buffer; message: Buffer | undefined };

/** Where a value stood when it was last met, and where its message. */
export class Seen {
  of: Transcoded | undefined = undefined;
  /** In the text. */
  start = 0;
  end = 0;
  /** In the message, with its tag. */
  from = 0;
  to = 0;
  /** Its place among what was noted of the object: the last one, where it was met more than once. */
  index = 0;
}

/** Shorter values are made anew as quickly. */
const MIN_BYTES = 24;
/** Of larger objects nothing is remembered: what is remembered keeps the whole object. */
const MAX_BYTES = 16 * 1024;

/** What is remembered of the object that is under way. */
export class Repeats {
  #current: Transcoded | undefined;
  readonly #noted: Seen[] = [];

  begin(source: Buffer): void {
    this.#noted.length = 0;
    this.#current = source.length > MAX_BYTES ? undefined : { source, message: undefined };
  }

  /** Without a message nothing of this object was worth remembering. */
  end(message: Buffer | undefined): void {
    if (this.#current !== undefined) this.#current.message = message;
    this.#current = undefined;
  }

  /** The message in which the value that begins at `at` stands already; `seen` says where. */
  find(seen: Seen, source: Buffer, at: number): Buffer | undefined {
    const { of } = seen;
    if (of?.message === undefined || !standsAt(of.source, seen, source, at)) return undefined;
    return of.message;
  }

  /** Notes a value; its place in the message may still move. */
  note(
    seen: Seen,
    text: { readonly start: number; readonly end: number; readonly from: number; readonly to: number },
  ): void {
    if (this.#current === undefined || text.end - text.start < MIN_BYTES) return;
    seen.of = this.#current;
    seen.start = text.start;
    seen.end = text.end;
    seen.from = text.from;
    seen.to = text.to;
    seen.index = this.#noted.push(seen) - 1;
  }

  /** Told when everything from here on has moved. */
  moved(from: number, by: number): void {
    for (let index = this.#noted.length - 1; index >= 0; index--) {
      const seen = this.#noted[index] as Seen;
      if (seen.index !== index) continue;
      if (seen.from < from) return;
      seen.from += by;
      seen.to += by;
    }
  }
}
