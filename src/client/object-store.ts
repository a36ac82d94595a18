/**
 * The local copy of an informer: objects by namespace and name, with indexes that are kept as objects come and go.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { HeldObject } from "./held-object.ts";
import type { Lister } from "./informer.ts";
import type { ObjectSource } from "./transport.ts";

/** The values under which an index has an object. */
export type IndexFunction<T extends KubeObject> = (object: T) => readonly string[];

/** What an index has under one value: mostly it is one object, and a set for it would be larger than that. */
type Bucket<T extends KubeObject> = HeldObject<T> | Set<HeldObject<T>>;
type Index<T extends KubeObject> = { readonly keysOf: IndexFunction<T>; readonly buckets: Map<string, Bucket<T>> };

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
  readonly #objects = new Map<string, HeldObject<T>>();
  readonly #indexes = new Map<string, Index<T>>();
  #wholeLists = 0;
  #wokenByLists = 0;

  /** Declares an index. One of this name that exists stays as it is. */
  addIndex(name: string, keysOf: IndexFunction<T>): void {
    if (this.#indexes.has(name)) return;
    const index: Index<T> = { keysOf, buckets: new Map() };
    this.#indexes.set(name, index);
    for (const held of this.#objects.values()) insert(index, held);
  }

  find(namespace: string, name: string): T | undefined {
    return this.#objects.get(namespace === "" ? name : `${namespace}/${name}`)?.object;
  }

  list(namespace?: string): readonly T[] {
    if (namespace !== undefined) this.addIndex("namespace", (object) => [object.metadata?.namespace ?? ""]);
    const all =
      namespace === undefined
        ? [...this.#objects.values()]
        : membersOf(this.#indexes.get("namespace")?.buckets.get(namespace));
    this.#wholeLists++;
    for (const held of all) if (held.isResting) this.#wokenByLists++;
    return all.map((held) => held.object);
  }

  byIndex(index: string, key: string): readonly T[] {
    const found = this.#indexes.get(index);
    if (found === undefined) throw new Error(`the informer has no index "${index}"`);
    return membersOf(found.buckets.get(key)).map((held) => held.object);
  }

  get size(): number {
    return this.#objects.size;
  }

  /** How often all objects, or all of a namespace, were looked at. */
  get wholeLists(): number {
    return this.#wholeLists;
  }

  /** How many objects rested when they were looked at in that way. */
  get wokenByLists(): number {
    return this.#wokenByLists;
  }

  keys(): Iterable<string> {
    return this.#objects.keys();
  }

  /** The objects as they are held. */
  held(): Iterable<HeldObject<T>> {
    return this.#objects.values();
  }

  get(key: string): T | undefined {
    return this.#objects.get(key)?.object;
  }

  /** Puts the object under its key and gives what stood there. `source` gives it again. */
  set(key: string, object: T, source?: ObjectSource<T>): T | undefined {
    const before = this.#objects.get(key);
    const held = new HeldObject(object, source);
    this.#objects.set(key, held);
    for (const index of this.#indexes.values()) {
      if (before !== undefined) remove(index, before);
      insert(index, held);
    }
    return before?.object;
  }

  /** Removes what stands under the key and gives it. */
  delete(key: string): T | undefined {
    const before = this.#objects.get(key);
    if (before === undefined) return undefined;
    this.#objects.delete(key);
    for (const index of this.#indexes.values()) remove(index, before);
    return before.object;
  }
}

function membersOf<T extends KubeObject>(bucket: Bucket<T> | undefined): readonly HeldObject<T>[] {
  if (bucket === undefined) return [];
  return bucket instanceof HeldObject ? [bucket] : [...bucket];
}

function insert<T extends KubeObject>(index: Index<T>, held: HeldObject<T>): void {
  for (const value of index.keysOf(held.object)) {
    const bucket = index.buckets.get(value);
    if (bucket === undefined) index.buckets.set(value, held);
    else if (!(bucket instanceof HeldObject)) bucket.add(held);
    else if (bucket !== held) index.buckets.set(value, new Set([bucket, held]));
  }
}

function remove<T extends KubeObject>(index: Index<T>, held: HeldObject<T>): void {
  for (const value of index.keysOf(held.object)) {
    const bucket = index.buckets.get(value);
    if (bucket === held) index.buckets.delete(value);
    else if (bucket instanceof Set && bucket.delete(held) && bucket.size === 0) index.buckets.delete(value);
  }
}
