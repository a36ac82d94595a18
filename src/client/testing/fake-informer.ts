/**
 * An informer without a server: tests put objects in by hand and its handlers hear of it at once.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Informer, InformerHandler } from "#client/informer.ts";
import { type IndexFunction, keyOf, ObjectStore } from "#client/object-store.ts";

export class FakeInformer<T extends KubeObject> implements Informer<T> {
  readonly lister: ObjectStore<T> = new ObjectStore<T>();
  readonly #handlers = new Set<InformerHandler<T>>();

  constructor(objects: readonly T[] = []) {
    for (const object of objects) this.put(object);
  }

  /** Adds the object, or replaces the one of the same name. */
  put(object: T): void {
    const before = this.lister.set(keyOf(object), object);
    for (const handler of this.#handlers) {
      if (before) handler.onUpdate?.(before, object);
      else handler.onAdd?.(object, false);
    }
  }

  remove(object: T): void {
    const before = this.lister.delete(keyOf(object));
    for (const handler of this.#handlers) if (before) handler.onDelete?.(before);
  }

  addHandler(handler: InformerHandler<T>): () => void {
    this.#handlers.add(handler);
    for (const object of this.lister.list()) handler.onAdd?.(object, true);
    return () => this.#handlers.delete(handler);
  }

  addIndex(name: string, keysOf: IndexFunction<T>): void {
    this.lister.addIndex(name, keysOf);
  }

  hasSynced(): boolean {
    return true;
  }

  async waitForSync(): Promise<void> {}
}
