/**
 * JSON texts too large for one turn of the event loop: cut at commas into pieces that the platform's parser takes in well under a millisecond each, and joined again. Collections that are small are parsed
 * with what stands around them. Whatever looks wrong is left to the plain parser, which has the words for it.
 */
import { keysOf, LARGE_MAP, noteLargeMap } from "#apimachinery/large-map.ts";
import { isKeyEndingInBackslash, type JsonText, maxDepth, parseJson } from "./json-text.ts";
import { setOwn } from "./own-key.ts";

/** So many bytes are parsed at once, or more where nothing can be cut. */
const PIECE_BYTES = 16 * 1024;

/** {@link parseJson} in steps: run to the end it returns the same or throws the same. */
export function* parseJsonSteps(bytes: Uint8Array): Generator<void, JsonText> {
  const text = yield* new Pieces(bytes).read();
  return text ?? parseJson(bytes);
}

/** Entries that are counted in one step. */
const COUNTED = 500;

/** How many pairs of key and value are in a value, in steps. */
export function* countMembersSteps(value: unknown): Generator<void, number> {
  if (typeof value !== "object" || value === null) return 0;
  const keys = Array.isArray(value) ? undefined : keysOf(value);
  const { length } = keys ?? (value as readonly unknown[]);
  let count = keys === undefined ? 0 : length;
  for (let index = 0; index < length; index++) {
    const inner = (value as Record<string | number, unknown>)[keys?.[index] ?? index];
    if (typeof inner === "object" && inner !== null) count += yield* countMembersSteps(inner);
    if (index % COUNTED === COUNTED - 1) yield;
  }
  return count;
}

/** An object or array that is not closed yet. */
type Open = {
  readonly isArray: boolean;
  readonly startsAt: number;
  /** What was taken out of it in pieces; undefined as long as nothing was. */
  target: Record<string, unknown> | unknown[] | undefined;
  /** Its keys, where that is an object. */
  readonly keys: string[];
  /** Where what is not parsed yet begins. */
  rest: number;
  /** Where the member begins that is being looked at. */
  member: number;
  /** True behind a member that was joined: a comma must follow. */
  wantsComma: boolean;
};

function setMember({ keys }: Open, target: Record<string, unknown>, key: string, value: unknown): void {
  if (!Object.hasOwn(target, key)) keys.push(key);
  setOwn(target, key, value);
}

/** Something is wrong with the text, or may be. */
class Irregular extends Error {
  readonly kind = "Irregular";
}

class Pieces {
  readonly #bytes: Buffer;
  readonly #open: Open[] = [];
  #memberCount = 0;
  /** Where the last escape within a string begins. */
  #escape = -1;
  #root: { readonly value: unknown } | undefined;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Undefined where the plain parser must look. */
  *read(): Generator<void, JsonText | undefined> {
    try {
      yield* this.#scan();
    } catch {
      return undefined;
    }
    return this.#root === undefined ? undefined : { value: this.#root.value, memberCount: this.#memberCount };
  }

  *#scan(): Generator<void, void> {
    const bytes = this.#bytes;
    let pausedAt = 0;
    for (let at = 0; at < bytes.length; at++) {
      switch (bytes[at]) {
        case 0x22:
          at = this.#endOfString(at);
          break;
        case 0x3a:
          this.#memberCount++;
          if (this.#escape >= 0 && isKeyEndingInBackslash(bytes, this.#escape, at)) throw new Irregular();
          break;
        case 0x2c:
          this.#comma(at);
          break;
        case 0x7b:
        case 0x5b:
          this.#enter(at);
          break;
        case 0x7d:
        case 0x5d:
          this.#leave(at);
          break;
      }
      if (at - pausedAt > PIECE_BYTES) {
        pausedAt = at;
        yield;
      }
    }
  }

  #endOfString(start: number): number {
    const bytes = this.#bytes;
    let at = start + 1;
    while (at < bytes.length && bytes[at] !== 0x22) {
      if (bytes[at] !== 0x5c) at += 1;
      else {
        this.#escape = at;
        at += 2;
      }
    }
    return at;
  }

  #enter(at: number): void {
    if (this.#root !== undefined || this.#open.length >= maxDepth) throw new Irregular();
    const isArray = this.#bytes[at] === 0x5b;
    this.#open.push({
      isArray,
      startsAt: at,
      target: undefined,
      keys: [],
      rest: at + 1,
      member: at + 1,
      wantsComma: false,
    });
  }

  #comma(at: number): void {
    const open = this.#open.at(-1);
    if (open === undefined) throw new Irregular();
    if (open.wantsComma) {
      this.#mustBeBlank(open.rest, at);
      open.wantsComma = false;
      open.rest = at + 1;
    } else if (at - open.rest > PIECE_BYTES) {
      this.#take(open, at);
      open.rest = at + 1;
    }
    open.member = at + 1;
  }

  #leave(at: number): void {
    const open = this.#open.pop();
    if (open === undefined || open.isArray !== (this.#bytes[at] === 0x5d)) throw new Irregular();
    const outer = this.#open.at(-1);
    // Small ones are parsed with what stands around them.
    if (open.target === undefined && outer !== undefined) return;
    if (open.wantsComma) this.#mustBeBlank(open.rest, at);
    else if (open.target === undefined) open.target = this.#parsed(open, at);
    else this.#take(open, at);
    if (open.keys.length > LARGE_MAP) noteLargeMap(open.target as object, { keys: open.keys });
    if (outer === undefined) this.#finish(open.target, at);
    else this.#join(outer, open, at);
  }

  #finish(value: unknown, at: number): void {
    if (this.#bytes.length - at > PIECE_BYTES) throw new Irregular();
    this.#mustBeBlank(at + 1, this.#bytes.length);
    this.#root = { value };
  }

  /** Puts what was read in pieces where it belongs, behind what stands before it. */
  #join(outer: Open, inner: Open, at: number): void {
    if (outer.member > outer.rest) this.#take(outer, outer.member - 1);
    outer.target ??= outer.isArray ? [] : {};
    if (Array.isArray(outer.target)) {
      this.#mustBeBlank(outer.member, inner.startsAt);
      outer.target.push(inner.target);
    } else setMember(outer, outer.target, this.#keyBefore(outer.member, inner.startsAt), inner.target);
    outer.rest = at + 1;
    outer.wantsComma = true;
  }

  #keyBefore(from: number, to: number): string {
    const keys = Object.keys(JSON.parse(`{${this.#bytes.toString("utf8", from, to)}0}`) as object);
    if (keys.length !== 1) throw new Irregular();
    return keys[0] as string;
  }

  /** Parses what was not yet, up to `to`, into the target. */
  #take(open: Open, to: number): void {
    const parsed = this.#parsed(open, to);
    open.target ??= open.isArray ? [] : {};
    if (Array.isArray(open.target)) {
      for (const item of parsed as unknown[]) open.target.push(item);
    } else {
      for (const key of Object.keys(parsed))
        setMember(open, open.target, key, (parsed as Record<string, unknown>)[key]);
    }
  }

  #parsed(open: Open, to: number): Record<string, unknown> | unknown[] {
    const text = this.#bytes.toString("utf8", open.rest, to);
    const isWhole = open.target === undefined && open.rest === open.startsAt + 1 && this.#bytes[to] !== 0x2c;
    // Before and behind a comma something must stand.
    if (!isWhole && text.trim() === "") throw new Irregular();
    return JSON.parse(open.isArray ? `[${text}]` : `{${text}}`);
  }

  #mustBeBlank(from: number, to: number): void {
    if (!/^[ \t\r\n]*$/.test(this.#bytes.toString("latin1", from, to))) throw new Irregular();
  }
}
