/**
 * JSON texts from clients: parsed by the platform, then held against what the platform does not tell: nesting beyond the bound, and keys that stand twice.
 */
import { badRequest } from "#apimachinery/status-error.ts";
import { findSyntaxError } from "./json-syntax-error.ts";
import { unreadableKey } from "./own-key.ts";

/** Deepest nesting of a body. Upstream's bound is 10,000; nothing real comes near either. */
export const maxDepth: number = 1000;

const quote = 0x22;
const backslash = 0x5c;
const unicodeEscape = 0x75;

/** A parsed text. `memberCount` is how many `key: value` pairs the text has; where the value has fewer, some key stands twice. */
export type JsonText = { readonly value: unknown; readonly memberCount: number };

/** Parses. Throws 400 with Go's words for what is no JSON. */
export function parseJson(bytes: Uint8Array): JsonText {
  const memberCount = countMembers(bytes);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
  try {
    return { value: JSON.parse(text), memberCount };
  } catch (error) {
    throw badRequest(findSyntaxError(bytes) ?? (error as Error).message);
  }
}

/** Counts colons outside of strings; bounds the nesting before anything recursive looks at the value, and refuses keys before the platform sees them. */
function countMembers(bytes: Uint8Array): number {
  let members = 0;
  let depth = 0;
  let escape = -1;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === quote) {
      at++;
      while (at < bytes.length && bytes[at] !== quote) {
        if (bytes[at] !== backslash) at += 1;
        else {
          escape = at;
          at += 2;
        }
      }
    } else if (byte === 0x3a) {
      members++;
      if (escape >= 0 && isKeyEndingInBackslash(bytes, escape, at)) throw unreadableKey();
    } else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > maxDepth) throw badRequest("json: exceeded max depth");
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return members;
}

/** Whether the last escape before a colon is a backslash, and the last character of the key. */
export function isKeyEndingInBackslash(bytes: Uint8Array, escape: number, colon: number): boolean {
  let end = escape + 2;
  if (bytes[escape + 1] === unicodeEscape) {
    if (!isBackslashCode(bytes, escape + 2)) return false;
    end += 4;
  } else if (bytes[escape + 1] !== backslash) return false;
  if (bytes[end] !== quote) return false;
  for (let at = end + 1; at < colon; at++) if ((bytes[at] as number) > 0x20) return false;
  return true;
}

function isBackslashCode(bytes: Uint8Array, at: number): boolean {
  return (
    Buffer.from(bytes.buffer, bytes.byteOffset + at, Math.min(4, bytes.length - at))
      .toString("latin1")
      .toLowerCase() === "005c"
  );
}

/** How many `key: value` pairs a parsed value has. */
export function countMembersOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) for (const item of value) count += countMembersOf(item);
  else for (const item of Object.values(value)) count += 1 + countMembersOf(item);
  return count;
}

/** One pair of key and value. `isRepeated`: the same object has had the key before. */
export type JsonMember = { readonly path: string; readonly isRepeated: boolean };

/**
 * Gives all members with their paths ("spec.bar", "spec.containers[0].image"), in the text's order, to `visit`, until it gives false. The text is valid JSON. For complaints only: it is slow.
 */
export function visitMembers(bytes: Uint8Array, visit: (member: JsonMember) => boolean): void {
  new MemberScan(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8"), visit).run();
}

class MemberScan {
  readonly #text: string;
  readonly #visit: (member: JsonMember) => boolean;
  #at = 0;
  #isOver = false;

  constructor(text: string, visit: (member: JsonMember) => boolean) {
    this.#text = text;
    this.#visit = visit;
  }

  run(): void {
    this.#value("");
  }

  #value(path: string): void {
    this.#skipSpace();
    const first = this.#text[this.#at];
    if (first === "{") this.#object(path);
    else if (first === "[") this.#array(path);
    else if (first === '"') this.#string();
    else while (this.#at < this.#text.length && !/[,\]}\s]/.test(this.#text[this.#at] as string)) this.#at++;
    this.#skipSpace();
  }

  #object(path: string): void {
    const seen = new Set<string>();
    this.#at++;
    this.#skipSpace();
    while (this.#text[this.#at] !== "}") {
      const key = this.#string();
      const here = path === "" ? key : `${path}.${key}`;
      this.#isOver ||= !this.#visit({ path: here, isRepeated: seen.has(key) });
      if (this.#isOver) return;
      seen.add(key);
      this.#skipSpace();
      this.#at++;
      this.#value(here);
      if (this.#isOver) return;
      if (this.#text[this.#at] === ",") this.#at++;
      this.#skipSpace();
    }
    this.#at++;
  }

  #array(path: string): void {
    this.#at++;
    this.#skipSpace();
    for (let index = 0; this.#text[this.#at] !== "]"; index++) {
      this.#value(`${path}[${index}]`);
      if (this.#isOver) return;
      if (this.#text[this.#at] === ",") this.#at++;
      this.#skipSpace();
    }
    this.#at++;
  }

  #string(): string {
    const start = this.#at++;
    while (this.#text.charCodeAt(this.#at) !== quote) this.#at += this.#text.charCodeAt(this.#at) === backslash ? 2 : 1;
    this.#at++;
    return JSON.parse(this.#text.slice(start, this.#at)) as string;
  }

  #skipSpace(): void {
    while (this.#text.charCodeAt(this.#at) <= 0x20) this.#at++;
  }
}
