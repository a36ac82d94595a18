/**
 * One object of an informer's local copy. While nobody looks at it, it may be held as a way to have it again: from where the watch had it, or else as text. Parsed objects are large: three to five times
 * their text.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { TextPacker } from "./text-packer.ts";
import type { ObjectSource } from "./transport.ts";

/** An object that can rest. */
export class HeldObject<T extends KubeObject> {
  #object: T | undefined;
  #source: ObjectSource<T> | undefined;
  #isUsed = true;

  /** `source`, if there is one, gives the very form that is held. */
  constructor(object: T, source?: ObjectSource<T>) {
    this.#object = object;
    this.#source = source;
  }

  /** The object. It stays parsed until nobody has asked for it for a while. */
  get object(): T {
    this.#isUsed = true;
    return (this.#object ??= (this.#source as ObjectSource<T>).object);
  }

  /** True while it is not parsed. */
  get isResting(): boolean {
    return this.#object === undefined;
  }

  /** Lets go of the parsed object, if nobody asked for it since the last call. Without a source of its own it is packed. */
  rest(packer: TextPacker<T>): void {
    const isUsed = this.#isUsed;
    this.#isUsed = false;
    if (isUsed || this.#object === undefined) return;
    this.#source ??= packer.hold(this.#object);
    this.#object = undefined;
  }
}
