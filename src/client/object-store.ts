/**
 * The local copy of an informer: objects by namespace and name, with indexes that are kept as objects come and go.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Lister } from "./informer.ts";

/** The values under which an index has an object. */
export type IndexFunction<T extends KubeObject> = (object: T) => readonly string[];

type Index<T extends KubeObject> = { readonly keysOf: IndexFunction<T>; readonly buckets: Map<string, Map<string, T>> };

/** "namespace/name", or "name" for cluster-scoped objects. As client-go's MetaNamespaceKeyFunc. */
export function keyOf(object: KubeObject): string {
  const { namespace, name } = object.metadata ?? {};
  return namespace ? `${namespace}/${name}` : (name ?? "");
}

/** The reverse of {@link keyOf}. */
export function splitKey(key: string): { readonly namespace: string; readonly name: string } {
  const slash = key.indexOf("/");
  return slash < 0 ? { namespace: "", name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

export class ObjectStore<T extends KubeObject> implements Lister<T> {
  readonly #objects = new Map<string, T>();
  readonly #indexes = new Map<string, Index<T>>();

  /** Declares an index. One of this name that exists stays as it is. */
  addIndex(name: string, keysOf: IndexFunction<T>): void {
    if (this.#indexes.has(name)) return;
    const index: Index<T> = { keysOf, buckets: new Map() };
    this.#indexes.set(name, index);
    for (const [key, object] of this.#objects) insert(index, key, object);
  }

  find(namespace: string, name: string): T | undefined {
    return this.#objects.get(namespace === "" ? name : `${namespace}/${name}`);
  }

  list(namespace?: string): readonly T[] {
    if (namespace === undefined) return [...this.#objects.values()];
    this.addIndex("namespace", (object) => [object.metadata?.namespace ?? ""]);
    return this.byIndex("namespace", namespace);
  }

  byIndex(index: string, key: string): readonly T[] {
    const found = this.#indexes.get(index);
    if (found === undefined) throw new Error(`the informer has no index "${index}"`);
    return [...(found.buckets.get(key)?.values() ?? [])];
  }

  get size(): number {
    return this.#objects.size;
  }

  keys(): Iterable<string> {
    return this.#objects.keys();
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  /** Puts the object under its key and gives what stood there. */
  set(key: string, object: T): T | undefined {
    const before = this.#objects.get(key);
    this.#objects.set(key, object);
    for (const index of this.#indexes.values()) {
      if (before !== undefined) remove(index, key, before);
      insert(index, key, object);
    }
    return before;
  }

  /** Removes what stands under the key and gives it. */
  delete(key: string): T | undefined {
    const before = this.#objects.get(key);
    if (before === undefined) return undefined;
    this.#objects.delete(key);
    for (const index of this.#indexes.values()) remove(index, key, before);
    return before;
  }
}

function insert<T extends KubeObject>(index: Index<T>, key: string, object: T): void {
  for (const value of index.keysOf(object)) {
    const bucket = index.buckets.get(value);
    if (bucket === undefined) index.buckets.set(value, new Map([[key, object]]));
    else bucket.set(key, object);
  }
}

function remove<T extends KubeObject>(index: Index<T>, key: string, object: T): void {
  for (const value of index.keysOf(object)) {
    const bucket = index.buckets.get(value);
    bucket?.delete(key);
    if (bucket?.size === 0) index.buckets.delete(value);
  }
}
