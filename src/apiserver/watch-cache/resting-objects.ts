/**
 * Lets the bytes of objects that nobody asks for lie where they are anyway: in the store, whose file the kernel keeps in memory as long as there is room. What is asked for is read again, and stays until
 * nobody has asked for a while. So what sleeps in a cluster costs a key and a few fields, whatever its objects say.
 */
import type { ImmediateStore } from "#store/store.ts";
import { Slices } from "#apiserver/negotiation/slices.ts";
import type { ObjectCodec } from "#apiserver/storage/object-codec.ts";
import type { ByteSource, StoredObject } from "#apiserver/storage/stored-object.ts";

/** Which objects have their bytes in memory, and where the bytes of the others are. */
export class RestingObjects implements ByteSource {
  readonly #store: ImmediateStore;
  readonly #codec: ObjectCodec;
  #awake: StoredObject[] = [];

  constructor(store: ImmediateStore, codec: ObjectCodec) {
    this.#store = store;
    this.#codec = codec;
  }

  /** Told of each object that comes into a cache. */
  add(object: StoredObject): void {
    this.#awake.push(object);
  }

  /** An object that rests is the newest of its key: those that are overwritten are woken before. */
  read(object: StoredObject): Buffer {
    const { key, revision, resource } = object;
    const entry = this.#store.current(key);
    if (entry?.modRevision !== revision)
      throw new Error(`the store has ${key} at revision ${entry?.modRevision}, not at ${revision}`);
    this.#awake.push(object);
    return this.#codec.bytesOf(resource, key, entry.value);
  }

  /** Wakes an object whose key is about to have another value in the caches; `value` is the one that the store had for it. */
  wake(object: StoredObject, value: Uint8Array | undefined): void {
    if (object.isResting && value !== undefined) object.wake(this.#codec.bytesOf(object.resource, object.key, value));
  }

  /** Lays to rest what was not asked for since the last time. Objects that are not the newest any more are whole, for those who hold them. */
  async sweep(isNewest: (object: StoredObject) => boolean): Promise<void> {
    const slices = new Slices();
    const before = this.#awake;
    this.#awake = [];
    for (const object of before) {
      if (isNewest(object) && !object.rest(this)) this.#awake.push(object);
      if (slices.isOver()) await slices.next();
    }
  }
}
