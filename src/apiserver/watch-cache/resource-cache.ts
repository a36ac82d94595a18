/**
 * All objects of one resource as they are now, the last changes, and the watches on them. Fed by {@link WatchCache} from the store; everything here is synchronous.
 */
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import { SortedMap, type SortedSnapshot } from "#apiserver/storage/sorted-map.ts";
import type { StoredResource } from "#apiserver/storage/stored-resource.ts";
import { CacheEvent } from "./cache-event.ts";
import { EventHistory } from "./event-history.ts";
import type { Selection } from "./selection.ts";
import { Watcher } from "./watcher.ts";
import { WatcherIndex } from "./watcher-index.ts";

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
  readonly #history: EventHistory;
  readonly #snapshots = new Map<number, SortedSnapshot<StoredObject>>();
  #changeRevision = 0;

  constructor(resource: StoredResource, loadedAtRevision: number, objects: Iterable<StoredObject>) {
    this.resource = resource;
    this.#history = new EventHistory(loadedAtRevision);
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

  /** Lets go of what is only held for watches and lists that are further back than this revision. Watches that are so far behind are ended. */
  dropUpTo(revision: number): void {
    this.dropSnapshotsBefore(revision);
    this.#history.dropUpTo(revision);
    this.#watchers.trim(revision);
  }

  /** Lets go of older changes; watches that begin there are served from the store's log. */
  dropHistoryUpTo(revision: number): void {
    this.#history.dropUpTo(revision);
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
    this.#history.add(event);
    if (this.#watchers.size === 0) return;
    this.#watchers.offer(event);
    // The watches have the forms that they share; the history needs none.
    event.dropForms();
  }

  /** All changes after this revision are known. */
  get historyRevision(): number {
    return this.#history.revision;
  }

  /** Puts older changes before the history, as {@link EventHistory.extend}. */
  extendHistory(afterRevision: number, upTo: number, older: readonly CacheEvent[]): void {
    this.#history.extend(afterRevision, upTo, older);
  }

  /** Starts a watch after `afterRevision`; what happened since, up to `now`, is queued at once. Throws {@link HistoryLost}. */
  watch(selection: Selection, afterRevision: number, now: number = afterRevision): Watcher {
    if (afterRevision < this.#history.revision) throw new HistoryLost(this.#history.revision);
    const watcher = new Watcher(this.#watchers.groupOf(selection), afterRevision, now);
    for (const event of this.#history.after(afterRevision)) watcher.prepend(event);
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
}
