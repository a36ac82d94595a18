/**
 * Finds the watches that may care for a change. Watches pinned to one value of a field (a kubelet's `spec.nodeName=n1`, a watch of one object by name) are looked up by that value,
 * so that 5,000 nodes do not cost 5,000 tests per pod; watches that select the same are one group.
 */
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import type { CacheEvent } from "./cache-event.ts";
import type { Selection } from "./selection.ts";
import type { Watcher } from "./watcher.ts";
import { WatcherGroup } from "./watcher-group.ts";

/** Groups by what they select. One that shares with nobody stands under itself. */
type Groups = Map<unknown, WatcherGroup<Watcher>>;

/** The watches of one resource. */
export class WatcherIndex {
  readonly #general: Groups = new Map();
  readonly #pinned = new Map<string, Map<string, Groups>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The group of a selection, made when there is none. It stays as long as it has watches. */
  groupOf(selection: Selection): WatcherGroup<Watcher> {
    const key = keyOf(selection);
    return this.#groups(selection).get(key) ?? new WatcherGroup(selection);
  }

  add(watcher: Watcher): void {
    const { group } = watcher;
    this.#size++;
    this.#groups(group.selection).set(keyOf(group.selection), group);
    group.add(watcher);
  }

  remove(watcher: Watcher): void {
    const { group } = watcher;
    if (!group.remove(watcher)) return;
    this.#size--;
    if (group.size > 0) return;
    const { pinned } = group.selection;
    const groups = this.#groups(group.selection);
    groups.delete(keyOf(group.selection));
    if (pinned === undefined || groups.size > 0) return;
    const byValue = this.#pinned.get(pinned.field);
    byValue?.delete(pinned.value);
    if (byValue?.size === 0) this.#pinned.delete(pinned.field);
  }

  /** Gives the event to every group that may care. */
  offer(event: CacheEvent): void {
    for (const group of this.#general.values()) group.offer(event);
    for (const [field, byValue] of this.#pinned) {
      const now = valueOf(event.current, field);
      const before = valueOf(event.previous, field);
      if (now !== undefined) for (const group of byValue.get(now)?.values() ?? []) group.offer(event);
      if (before !== undefined && before !== now) {
        for (const group of byValue.get(before)?.values() ?? []) group.offer(event);
      }
    }
  }

  /** Ends the watches that have not taken what happened up to a revision. */
  trim(revision: number): void {
    for (const group of this.#allGroups()) group.trim(revision);
  }

  *all(): Generator<Watcher, void, undefined> {
    for (const group of this.#allGroups()) yield* group.members;
  }

  *#allGroups(): Generator<WatcherGroup<Watcher>, void, undefined> {
    yield* this.#general.values();
    for (const byValue of this.#pinned.values()) for (const groups of byValue.values()) yield* groups.values();
  }

  #groups({ pinned }: Selection): Groups {
    if (pinned === undefined) return this.#general;
    const byValue = getOrAdd(this.#pinned, pinned.field, () => new Map<string, Groups>());
    return getOrAdd(byValue, pinned.value, () => new Map<unknown, WatcherGroup<Watcher>>());
  }
}

function keyOf(selection: Selection): unknown {
  return selection.key === undefined ? selection : `${selection.prefix} ${selection.key}`;
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
