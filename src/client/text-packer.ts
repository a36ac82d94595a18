/**
 * Objects of one kind as text, packed: they differ in little but their names, so each is held as what it has beyond the first of them. A tenth of the text is left, for 60 µs once and 30 when it is wanted.
 */
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { deepFreeze } from "#apimachinery/freeze.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { ObjectSource } from "./transport.ts";

/** Most of the first object that the others are held against. */
const DICTIONARY_BYTES = 8192;
/** Small windows: what deflate sets up for each text is more work than the text. */
const SIZES = { windowBits: 13, memLevel: 5 } as const;

/** Holds the objects of one local copy. */
export class TextPacker<T extends KubeObject> {
  #dictionary: Buffer | undefined;

  /** The object, to be had again. */
  hold(object: T): ObjectSource<T> {
    const text = Buffer.from(JSON.stringify(object));
    this.#dictionary ??= Buffer.from(text.subarray(0, DICTIONARY_BYTES));
    return new PackedObject(text, this.#dictionary);
  }
}

class PackedObject<T extends KubeObject> implements ObjectSource<T> {
  readonly #dictionary: Buffer;
  /** Bytes as characters: a Buffer of its own would be larger than what is in it. */
  readonly #packed: string;

  constructor(text: Buffer, dictionary: Buffer) {
    this.#dictionary = dictionary;
    this.#packed = deflateRawSync(text, { ...SIZES, dictionary }).toString("latin1");
  }

  get object(): T {
    const { windowBits } = SIZES;
    const text = inflateRawSync(Buffer.from(this.#packed, "latin1"), { windowBits, dictionary: this.#dictionary });
    return deepFreeze(JSON.parse(text.toString()) as T);
  }
}
