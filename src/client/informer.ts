/**
 * A local copy of a resource that follows the server: list, then watch, then list again when history is lost. As client-go's shared informer.
 * The implementation is made by {@link createInformer} in reflector.ts; this file is what the parts see of it.
 */
import type { KubeObject } from "#apimachinery/meta.ts";

/** Told of changes. Called one at a time, in order. Must not throw. Objects are frozen. */
export type InformerHandler<T extends KubeObject> = {
  /** `isInInitialList` is true for objects that were there when the informer started. */
  readonly onAdd?: (object: T, isInInitialList: boolean) => void;
  /** Also called for a resync, with the same object twice. */
  readonly onUpdate?: (before: T, after: T) => void;
  /** `object` is the last state that was seen. */
  readonly onDelete?: (object: T) => void;
};

/** Reads from the local copy. */
export interface Lister<T extends KubeObject> {
  /** The object, or undefined. Cluster-scoped objects have namespace "". */
  find(namespace: string, name: string): T | undefined;
  /** All objects, or those of a namespace. */
  list(namespace?: string): readonly T[];
  /** Objects under `key` of an index that was declared. Throws for one that was not. */
  byIndex(index: string, key: string): readonly T[];
}

/** A local copy that keeps itself up to date until it is stopped. Several parts share one. */
export interface Informer<T extends KubeObject> {
  readonly lister: Lister<T>;
  /** Declares an index for {@link Lister.byIndex}: `keysOf` gives the values under which an object is found. Harmless when the index exists. */
  addIndex(name: string, keysOf: (object: T) => readonly string[]): void;
  /** Adds a handler; it first gets an onAdd for all that is there. Gives back a function that removes it. */
  addHandler(handler: InformerHandler<T>): () => void;
  /** True once the first list is in. */
  hasSynced(): boolean;
  /** Resolves when {@link hasSynced}; rejects when the signal aborts. */
  waitForSync(signal: AbortSignal): Promise<void>;
}
