/**
 * Reading and writing the objects of one resource, with the conditions that make concurrent writers safe. What the registry stands on; knows nothing of strategies or requests.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Store, WriteOperation } from "#store/store.ts";
import type { ResourceCache } from "#apiserver/watch-cache/resource-cache.ts";
import type { WatchCache } from "#apiserver/watch-cache/watch-cache.ts";
import type { ObjectCodec } from "./object-codec.ts";
import { type StoredObject, toStoredBytes } from "./stored-object.ts";
import { keyOf, type StoredResource } from "./stored-resource.ts";

/** The condition of a write did not hold; `current` is what stands there. */
export class WriteConflict extends Error {
  readonly kind = "WriteConflict";
  readonly current: StoredObject | undefined;
  /** True when it was another key of the write whose condition failed. */
  readonly isBeside: boolean;
  constructor(current: StoredObject | undefined, isBeside = false) {
    super("the object was changed by another write");
    this.current = current;
    this.isBeside = isBeside;
  }
}

/** One resource's objects in the store. */
export class ObjectStorage {
  readonly resource: StoredResource;
  readonly #store: Store;
  readonly #cache: WatchCache;
  readonly #codec: ObjectCodec;

  constructor(
    resource: StoredResource,
    parts: { readonly store: Store; readonly cache: WatchCache; readonly codec: ObjectCodec },
  ) {
    this.resource = resource;
    this.#store = parts.store;
    this.#cache = parts.cache;
    this.#codec = parts.codec;
  }

  /** The cache, fresh. */
  fresh(): ResourceCache | Promise<ResourceCache> {
    return this.#cache.fresh(this.resource);
  }

  /** The newest state of an object, or undefined. */
  async find(namespace: string, name: string): Promise<StoredObject | undefined> {
    const cache = this.fresh();
    const key = keyOf(this.resource, namespace, name);
    return (cache instanceof Promise ? await cache : cache).get(key);
  }

  /** Writes a new object. Throws {@link WriteConflict} when there is one of its name. */
  create(
    namespace: string,
    name: string,
    object: KubeObject,
    extra: readonly WriteOperation[] = [],
    bytes?: Buffer,
  ): Promise<StoredObject> {
    return this.#put(keyOf(this.resource, namespace, name), { object, expectedRevision: 0, bytes, extra });
  }

  /** Writes a new state over `existing`. Throws {@link WriteConflict} when that is no longer the newest. */
  update(
    existing: StoredObject,
    object: KubeObject,
    bytes?: Buffer,
    extra: readonly WriteOperation[] = [],
  ): Promise<StoredObject> {
    return this.#put(existing.key, { object, expectedRevision: existing.revision, bytes, extra });
  }

  /** The operation that makes an object, for a write of another one that it belongs to. */
  createOperation(namespace: string, name: string, object: KubeObject): WriteOperation {
    const key = keyOf(this.resource, namespace, name);
    return { key, value: toStoredBytes(this.resource, object), expectedRevision: 0 };
  }

  /** The operation that removes an object, whatever its state. */
  deleteOperation(namespace: string, name: string): WriteOperation {
    return { key: keyOf(this.resource, namespace, name), value: undefined, expectedRevision: undefined };
  }

  /** Removes `existing`; gives its last state under the revision of its deletion. Throws {@link WriteConflict}. */
  async delete(existing: StoredObject, extra: readonly WriteOperation[] = []): Promise<StoredObject> {
    const operation = { key: existing.key, value: undefined, expectedRevision: existing.revision };
    const result = await this.#store.write([operation, ...extra]);
    if (!result.ok) throw this.#conflict(result.key, result.current);
    return existing.atRevision(result.revision);
  }

  async #put(
    key: string,
    write: {
      readonly object: KubeObject;
      readonly expectedRevision: number;
      readonly bytes?: Buffer | undefined;
      readonly extra: readonly WriteOperation[];
    },
  ): Promise<StoredObject> {
    const plain = write.bytes ?? toStoredBytes(this.resource, write.object);
    const value = this.#codec.encode(this.resource, key, plain, write.object);
    try {
      const { expectedRevision, extra } = write;
      const result = await this.#store.write([{ key, value, expectedRevision }, ...extra]);
      if (!result.ok) throw this.#conflict(result.key, result.current);
      return this.#codec.decode(this.resource, { key, revision: result.revision, value });
    } finally {
      this.#codec.forget(key, value);
    }
  }

  #conflict(key: string, current: { key: string; modRevision: number; value: Uint8Array } | undefined): WriteConflict {
    if (!key.startsWith(this.resource.prefix)) return new WriteConflict(undefined, true);
    return new WriteConflict(current === undefined ? undefined : this.#cache.decode(this.resource, current));
  }
}
