/**
 * Finds the watches that may care for a change. Watches pinned to one value of a field (a kubelet's `spec.nodeName=n1`, a watch of one object by name) are looked up by that value,
 * so that 5,000 nodes do not cost 5,000 tests per pod.
 */
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import type { CacheEvent } from "./cache-event.ts";
import type { Watcher } from "./watcher.ts";

/** The watches of one resource. */
export class WatcherIndex {
  readonly #general = new Set<Watcher>();
  readonly #pinned = new Map<string, Map<string, Set<Watcher>>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(watcher: Watcher): void {
    this.#size++;
    const { pinned } = watcher.selection;
    if (pinned === undefined) {
      this.#general.add(watcher);
      return;
    }
    const byValue = getOrAdd(this.#pinned, pinned.field, () => new Map<string, Set<Watcher>>());
    getOrAdd(byValue, pinned.value, () => new Set<Watcher>()).add(watcher);
  }

  remove(watcher: Watcher): void {
    const { pinned } = watcher.selection;
    const byValue = pinned === undefined ? undefined : this.#pinned.get(pinned.field);
    const watchers = pinned === undefined ? this.#general : byValue?.get(pinned.value);
    if (!watchers?.delete(watcher)) return;
    this.#size--;
    if (pinned === undefined || byValue === undefined || watchers.size > 0) return;
    byValue.delete(pinned.value);
    if (byValue.size === 0) this.#pinned.delete(pinned.field);
  }

  /** Gives the event to every watch that may care. */
  offer(event: CacheEvent): void {
    for (const watcher of this.#general) watcher.offer(event);
    for (const [field, byValue] of this.#pinned) {
      const now = valueOf(event.current, field);
      const before = valueOf(event.previous, field);
      if (now !== undefined) for (const watcher of byValue.get(now) ?? []) watcher.offer(event);
      if (before !== undefined && before !== now) for (const watcher of byValue.get(before) ?? []) watcher.offer(event);
    }
  }

  *all(): Generator<Watcher, void, undefined> {
    yield* this.#general;
    for (const byValue of this.#pinned.values()) for (const watchers of byValue.values()) yield* watchers;
  }
}

function valueOf(object: StoredObject | undefined, field: string): string | undefined {
  return object === undefined ? undefined : (object.fields[field] ?? "");
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const there = map.get(key);
  if (there !== undefined) return there;
  const made = make();
  map.set(key, made);
  return made;
}
