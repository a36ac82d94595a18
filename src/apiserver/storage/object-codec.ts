/**
 * Between objects and the bytes of the store: encryption of what must not lie open on disk, and the short memory that spares parsing what this process has just written.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { StoredObject, toStoredBytes } from "./stored-object.ts";
import type { StoredResource } from "./stored-resource.ts";

/** Encrypts values at rest. The key is bound in, so that a value cannot be moved to another object. */
export interface ValueTransformer {
  /** The value as it is stored. */
  seal(key: string, plain: Buffer): Buffer;
  /** The reverse; values that were stored before encryption was switched on come back as they are. Throws when the value was tampered with. */
  open(key: string, stored: Buffer): Buffer;
}

type Written = {
  readonly sealed: Buffer;
  readonly plain: Buffer;
  readonly object: KubeObject;
  /** Made once, for the answer to the writer and for the cache. */
  decoded?: StoredObject;
};

/** Turns objects into stored values and back. */
export class ObjectCodec {
  readonly #transformers: ReadonlyMap<string, ValueTransformer>;
  readonly #written = new Map<string, Written>();

  /** `transformers` by group-resource: "secrets". */
  constructor(transformers: ReadonlyMap<string, ValueTransformer> = new Map()) {
    this.#transformers = transformers;
  }

  /** The value to store. `object` and `plain` are kept until {@link forget}, because the watch on the store brings this very value back. */
  encode(resource: StoredResource, key: string, plain: Buffer, object: KubeObject): Buffer {
    const sealed = this.#transformers.get(resource.groupResource)?.seal(key, plain) ?? plain;
    this.#written.set(key, { sealed, plain, object });
    return sealed;
  }

  /** The write of `key` has ended. */
  forget(key: string, sealed: Buffer): void {
    if (this.#written.get(key)?.sealed === sealed) this.#written.delete(key);
  }

  /** The object that a stored value holds. */
  decode(
    resource: StoredResource,
    entry: { readonly key: string; readonly revision: number; readonly value: Uint8Array },
  ): StoredObject {
    const { key, revision, value } = entry;
    const written = this.#written.get(key);
    if (written !== undefined && (written.sealed === value || Buffer.compare(written.sealed, value) === 0)) {
      if (written.decoded?.revision !== revision) {
        written.decoded = new StoredObject(resource, { key, revision, bytes: written.plain, parsed: written.object });
      }
      return written.decoded;
    }
    return new StoredObject(resource, { key, revision, bytes: this.bytesOf(resource, key, value) });
  }

  /** The bytes of the object that a stored value holds: plain, and in today's form. */
  bytesOf(resource: StoredResource, key: string, value: Uint8Array): Buffer {
    const stored = Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return inForm(resource, this.#transformers.get(resource.groupResource)?.open(key, stored) ?? stored);
  }
}

/** Values stored in an older version of a custom resource, before a default was added, or by somebody else, are brought into our form. */
function inForm(resource: StoredResource, bytes: Buffer): Buffer {
  const hasHead = bytes.subarray(0, resource.head.length).equals(resource.head);
  if (hasHead && resource.normalize === undefined) return bytes;
  const object = JSON.parse(bytes.toString()) as KubeObject;
  const normal = resource.normalize?.(object) ?? object;
  const isFine = hasHead || resource.keepsVersions === true;
  return isFine && normal === object ? bytes : toStoredBytes(resource, normal);
}
