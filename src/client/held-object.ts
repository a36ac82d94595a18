/**
 * One object of an informer's local copy. While nobody looks at it, it may be held as a way to have it again: from where the watch had it, or else as text. Parsed objects are large: three to five times
 * their text.
 */
import { deepFreeze } from "#apimachinery/freeze.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
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

  /** Lets go of the parsed object, if nobody asked for it since the last call. */
  rest(): void {
    const isUsed = this.#isUsed;
    this.#isUsed = false;
    if (isUsed || this.#object === undefined) return;
    this.#source ??= new TextSource(this.#object);
    this.#object = undefined;
  }
}

/** An object as text. */
class TextSource<T extends KubeObject> implements ObjectSource<T> {
  readonly #text: string;

  constructor(object: T) {
    this.#text = JSON.stringify(object);
  }

  get object(): T {
    return deepFreeze(JSON.parse(this.#text) as T);
  }
}
