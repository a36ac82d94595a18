/**
 * Reads the lines of a head: a start line, fields, an empty line. One pass over the bytes; strings are made when the head is whole. Goes on where it stopped when bytes come in pieces, so that a
 * head that trickles in costs no more than one that comes at once. RFC 9112 2.2 and 5, without its leniences: CRLF only, no folding, no space before the colon.
 */
import { BadMessage } from "./bad-message.ts";
import { COLON, CR, isFieldValueByte, isTokenByte, LF, SP, TAB } from "./characters.ts";
import type { MessageLimits } from "./limits.ts";

/** The lines of a head. Names of fields in lower case. */
export type HeadLines = {
  /** Empty for a trailer section. */
  readonly startLine: string;
  readonly fields: string[];
  /** Where the bytes behind the head begin. */
  readonly end: number;
};

/** Reads one head after another. Where it stands within bytes that did not suffice is kept between calls. */
export class HeadReader {
  readonly #limits: MessageLimits;
  readonly #hasStartLine: boolean;
  /** Offsets from the head's beginning: name, colon, value, end of value. */
  #marks: number[] = [];
  /** Where the line that is being read begins, from the head's beginning. */
  #at = 0;
  #startLineEnd = -1;

  /** With `hasStartLine` false it reads a trailer section. */
  constructor(limits: MessageLimits, hasStartLine: boolean) {
    this.#limits = limits;
    this.#hasStartLine = hasStartLine;
  }

  /** Reads the head that begins at `from`. Undefined: more bytes are needed, and the next call gets the same ones with more behind. Throws {@link BadMessage}. */
  read(bytes: Buffer, from: number): HeadLines | undefined {
    if (this.#hasStartLine && this.#startLineEnd < 0 && !this.#readStartLine(bytes, from)) return undefined;
    for (;;) {
      const start = from + this.#at;
      const first = bytes[start];
      if (first === undefined) return this.#needsMore(bytes, from);
      if (first === CR) {
        if (start + 1 >= bytes.length) return undefined;
        if (bytes[start + 1] !== LF) throw new BadMessage("line-ending", "a CR stands without LF");
        return this.#whole(bytes, from, start);
      }
      if (!this.#readField(bytes, from, start)) return this.#needsMore(bytes, from);
    }
  }

  #readStartLine(bytes: Buffer, from: number): boolean {
    const { startLineBytes } = this.#limits;
    const lineFeed = bytes.indexOf(LF, from);
    const length = (lineFeed < 0 ? bytes.length : lineFeed) - from;
    if (length > startLineBytes)
      throw new BadMessage("target-too-long", `the start line is longer than ${startLineBytes} bytes`, 414);
    // Whoever speaks TLS to a port without it learns so at once, not after a timeout.
    if (bytes.length > from && isFieldValueByte[bytes[from] as number] !== 1)
      throw new BadMessage("start-line", `a message begins with byte ${bytes[from]}`);
    if (lineFeed < 0) return false;
    if (length === 0 || bytes[lineFeed - 1] !== CR) throw new BadMessage("line-ending", "a line ends in a bare LF");
    this.#startLineEnd = length - 1;
    this.#at = length + 1;
    return true;
  }

  /** Reads a field's line; false when it is not whole. */
  #readField(bytes: Buffer, from: number, start: number): boolean {
    const size = bytes.length;
    let at = start;
    while (at < size && isTokenByte[bytes[at] as number] === 1) at++;
    if (at === size) return false;
    if (bytes[at] !== COLON || at === start) throw badName(bytes[at] as number, at === start);
    const colon = at++;
    while (at < size && isBlank(bytes[at] as number)) at++;
    const value = at;
    while (at < size && isFieldValueByte[bytes[at] as number] === 1) at++;
    if (at + 1 >= size && (at === size || bytes[at] === CR)) return false;
    if (bytes[at] !== CR) throw badValue(bytes[at] as number);
    if (bytes[at + 1] !== LF) throw new BadMessage("line-ending", "a CR stands without LF");
    const nameLength = colon - start;
    if (
      (nameLength === 14 || nameLength === 17) &&
      bytes.subarray(colon, at).includes(TAB) &&
      isFraming(bytes, start, colon)
    )
      throw new BadMessage("body-framing", "a tab stands beside the value that frames the message");
    let end = at;
    while (end > value && isBlank(bytes[end - 1] as number)) end--;
    this.#marks.push(start - from, colon - from, value - from, end - from);
    this.#at = at + 2 - from;
    if (this.#marks.length > this.#limits.fields * 4) throw tooMany(this.#limits);
    if (this.#at > this.#limits.headBytes) throw tooLarge(this.#limits);
    return true;
  }

  #needsMore(bytes: Buffer, from: number): undefined {
    if (bytes.length - from > this.#limits.headBytes) throw tooLarge(this.#limits);
    return undefined;
  }

  #whole(bytes: Buffer, from: number, emptyLine: number): HeadLines {
    const text = bytes.toString("latin1", from, emptyLine);
    const marks = this.#marks;
    const fields: string[] = [];
    for (let index = 0; index < marks.length; index += 4) {
      fields.push(
        text.slice(marks[index], marks[index + 1]).toLowerCase(),
        text.slice(marks[index + 2], marks[index + 3]),
      );
    }
    const startLine = this.#hasStartLine ? text.slice(0, this.#startLineEnd) : "";
    this.#marks = [];
    this.#at = 0;
    this.#startLineEnd = -1;
    return { startLine, fields, end: emptyLine + 2 };
  }
}

/** Tabs are legal around values, but llhttp does not see `chunked` before one. */
function isFraming(bytes: Buffer, start: number, colon: number): boolean {
  const name = bytes.toString("latin1", start, colon).toLowerCase();
  return name === "content-length" || name === "transfer-encoding";
}

function isBlank(byte: number): boolean {
  return byte === SP || byte === TAB;
}

function badName(byte: number, isFirst: boolean): BadMessage {
  if (isFirst && isBlank(byte)) return new BadMessage("field", "a line is folded");
  if (byte === LF) return new BadMessage("line-ending", "a line ends in a bare LF");
  if (isBlank(byte)) return new BadMessage("field", "a space stands before the colon of a field");
  return new BadMessage("field", `a field's name contains or ends at byte ${byte}`);
}

function badValue(byte: number): BadMessage {
  if (byte === LF) return new BadMessage("line-ending", "a line ends in a bare LF");
  return new BadMessage("field", `a field's value contains byte ${byte}`);
}

function tooMany(limits: MessageLimits): BadMessage {
  return new BadMessage("field-too-large", `there are more than ${limits.fields} fields`, 431);
}

function tooLarge(limits: MessageLimits): BadMessage {
  return new BadMessage("field-too-large", `the head is larger than ${limits.headBytes} bytes`, 431);
}
