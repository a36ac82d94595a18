/**
 * All objects of one resource as they are now, the last changes, and the watches on them. Fed by {@link WatchCache} from the store; everything here is synchronous.
 */
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import { SortedMap, type SortedSnapshot } from "#apiserver/storage/sorted-map.ts";
import type { StoredResource } from "#apiserver/storage/stored-resource.ts";
import { CacheEvent } from "./cache-event.ts";
import type { Selection } from "./selection.ts";
import { Watcher } from "./watcher.ts";
import { WatcherIndex } from "./watcher-index.ts";

/** Bounds of the history that watches can start in. */
export const MAX_HISTORY = 4096;
const MAX_HISTORY_BYTES = 16 << 20;
/** Most snapshots kept for the later pages of lists. */
const MAX_SNAPSHOTS = 16;

/** The revision is older than the cache's history. */
export class HistoryLost extends Error {
  readonly kind = "HistoryLost";
  readonly oldestRevision: number;
  constructor(oldestRevision: number) {
    super(`history begins at revision ${oldestRevision}`);
    this.oldestRevision = oldestRevision;
  }
}

/** One resource's objects. */
export class ResourceCache {
  readonly resource: StoredResource;
  readonly #objects = new SortedMap<StoredObject>();
  readonly #watchers = new WatcherIndex();
  #history: CacheEvent[] = [];
  #historyStart = 0;
  #historyBytes = 0;
  /** Events after this revision are all in the history. */
  #historyRevision: number;
  readonly #snapshots = new Map<number, SortedSnapshot<StoredObject>>();
  #changeRevision = 0;

  constructor(resource: StoredResource, loadedAtRevision: number, objects: Iterable<StoredObject>) {
    this.resource = resource;
    this.#historyRevision = loadedAtRevision;
    for (const object of objects) this.#objects.set(object.key, object);
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): StoredObject | undefined {
    return this.#objects.get(key);
  }

  /** All objects as they are now. */
  snapshot(): SortedSnapshot<StoredObject> {
    return this.#objects.snapshot();
  }

  /** Keeps a snapshot for the later pages of a list. */
  keepSnapshot(revision: number, snapshot: SortedSnapshot<StoredObject>): void {
    this.#snapshots.delete(revision);
    this.#snapshots.set(revision, snapshot);
    const [oldest] = this.#snapshots.keys();
    if (this.#snapshots.size > MAX_SNAPSHOTS && oldest !== undefined) this.#snapshots.delete(oldest);
  }

  /** The objects as they were at `revision`, when the cache still knows. `now` is the cache's revision. */
  findSnapshot(revision: number, now: number): SortedSnapshot<StoredObject> | undefined {
    if (revision >= this.#changeRevision && revision <= now) return this.snapshot();
    return this.#snapshots.get(revision);
  }

  /** Drops snapshots of compacted revisions. */
  dropSnapshotsBefore(revision: number): void {
    for (const kept of this.#snapshots.keys()) if (kept < revision) this.#snapshots.delete(kept);
  }

  /** One change, in order of revisions. */
  apply(change: { readonly key: string; readonly revision: number; readonly current: StoredObject | undefined }): void {
    const { key, revision, current } = change;
    const previous = this.#objects.get(key);
    if (current === undefined && previous === undefined) return;
    if (current === undefined) this.#objects.delete(key);
    else this.#objects.set(key, current);
    this.#changeRevision = revision;
    const event = new CacheEvent({ revision, key, current, previous });
    this.#remember(event);
    if (this.#watchers.size === 0) return;
    this.#watchers.offer(event);
    // The watches have the forms that they share; the history needs none.
    event.dropForms();
  }

  /** All changes after this revision are known. */
  get historyRevision(): number {
    return this.#historyRevision;
  }

  /**
   * Puts older changes before the history: all of those after `afterRevision` up to `upTo`, in order. Does nothing when the history has moved on from `upTo` meanwhile, or when
   * they would be too many.
   */
  extendHistory(afterRevision: number, upTo: number, older: readonly CacheEvent[]): void {
    const kept = this.#history.slice(this.#historyStart);
    const bytes = older.reduce((sum, event) => sum + sizeOf(event), this.#historyBytes);
    if (upTo !== this.#historyRevision || older.length + kept.length > MAX_HISTORY || bytes > MAX_HISTORY_BYTES) return;
    this.#history = [...older, ...kept];
    this.#historyStart = 0;
    this.#historyBytes = bytes;
    this.#historyRevision = afterRevision;
  }

  /** Starts a watch after `afterRevision`; what happened since is queued at once. Throws {@link HistoryLost}. */
  watch(selection: Selection, afterRevision: number): Watcher {
    if (afterRevision < this.#historyRevision) throw new HistoryLost(this.#historyRevision);
    const watcher = new Watcher(this.#watchers.groupOf(selection), afterRevision);
    for (let i = this.#firstAfter(afterRevision); i < this.#history.length; i++) {
      watcher.prepend(this.#history[i] as CacheEvent);
    }
    this.#watchers.add(watcher);
    return watcher;
  }

  unwatch(watcher: Watcher): void {
    this.#watchers.remove(watcher);
  }

  /** Ends all watches. */
  endWatches(): void {
    for (const watcher of this.#watchers.all()) watcher.end();
  }

  #remember(event: CacheEvent): void {
    this.#history.push(event);
    this.#historyBytes += sizeOf(event);
    while (
      this.#history.length - this.#historyStart > MAX_HISTORY ||
      (this.#historyBytes > MAX_HISTORY_BYTES && this.#history.length - this.#historyStart > 1)
    ) {
      const dropped = this.#history[this.#historyStart++] as CacheEvent;
      this.#historyBytes -= sizeOf(dropped);
      this.#historyRevision = dropped.revision;
    }
    if (this.#historyStart > MAX_HISTORY) {
      this.#history = this.#history.slice(this.#historyStart);
      this.#historyStart = 0;
    }
  }

  #firstAfter(revision: number): number {
    let low = this.#historyStart;
    let high = this.#history.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#history[middle] as CacheEvent).revision <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function sizeOf(event: CacheEvent): number {
  return event.previous?.bytes.length ?? 0;
}
