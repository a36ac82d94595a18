/**
 * What stands behind the handlers: the table of what is served, its storage and watch cache, and what takes part in a write. Made once by the API server.
 */
import type { KindFacts } from "#api/kind-facts.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { Store } from "#store/store.ts";
import type { AdmissionPlugin } from "#apiserver/admission.ts";
import type { Authorizer } from "#apiserver/request.ts";
import { ObjectStorage } from "#apiserver/storage/object-storage.ts";
import type { ObjectCodec } from "#apiserver/storage/object-codec.ts";
import type { StoredResource } from "#apiserver/storage/stored-resource.ts";
import type { WatchCache } from "#apiserver/watch-cache/watch-cache.ts";
import type { ResourceTable, ServedResource } from "./served-resource.ts";
import type { WriteHooks } from "./write-hooks.ts";

/** The parts of a registry. */
export type RegistryInit = {
  readonly table: ResourceTable;
  readonly store: Store;
  readonly cache: WatchCache;
  readonly codec: ObjectCodec;
  readonly kindFacts: KindFacts;
  readonly admission: readonly AdmissionPlugin[];
  readonly authorizer: Authorizer;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What some kinds do beside their own object: allocated addresses, for instance. By group-resource. */
  readonly hooks: ReadonlyMap<string, WriteHooks>;
};

/** All that handlers work on. */
export class Registry {
  readonly parts: RegistryInit;
  readonly #storages = new Map<string, ObjectStorage>();

  constructor(parts: RegistryInit) {
    this.parts = parts;
  }

  /** The storage of a served resource; versions of a kind share one. */
  storageOf(resource: ServedResource): ObjectStorage {
    return this.storage(resource.stored);
  }

  storage(stored: StoredResource): ObjectStorage {
    let storage = this.#storages.get(stored.prefix);
    if (storage === undefined || storage.resource !== stored) {
      storage = new ObjectStorage(stored, this.parts);
      this.#storages.set(stored.prefix, storage);
    }
    return storage;
  }

  /** The built-in resource of this name in the core group's v1; for the server's own needs. */
  core(resource: string): ServedResource {
    const found = this.parts.table.find("", "v1", resource);
    if (found === undefined) throw new Error(`the core resource ${resource} is not served`);
    return found;
  }
}
