/**
 * The store's content in memory, a {@link ResourceCache} per resource, fed by one watch on the store, so that all resources stand at the same revision. A resource is read in when it is
 * first asked for. Reads wait until the cache has seen the store's newest revision: they are never older than any write that was acknowledged before.
 */
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import {
  isImmediate,
  RevisionCompacted,
  RevisionInFuture,
  type Store,
  type StoreEvent,
  type StoreWatcher,
} from "#store/store.ts";
import type { ObjectCodec } from "#apiserver/storage/object-codec.ts";
import { REGISTRY_PREFIX, type StoredResource } from "#apiserver/storage/stored-resource.ts";
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import { CacheEvent } from "./cache-event.ts";
import { ChangeWindow } from "./change-window.ts";
import { MAX_OLDER } from "./event-history.ts";
import { ResourceCache } from "./resource-cache.ts";
import { RestingObjects } from "./resting-objects.ts";

/** How long the parsed form of a new state is kept for those who follow it, and of how many states at most: more would only outlive a young generation. */
const PARSED_MS = 100;
const MAX_PARSED = 64;
/** After one to two of these what nobody asked for rests in the store, and changes are read from its log. */
const REST_MS = 12_000;

type Waiter = { readonly revision: number; readonly resolve: () => void; readonly reject: (error: Error) => void };
type Loading = { readonly events: StoreEvent[]; readonly done: Promise<ResourceCache> };

/** All resources' caches. */
export class WatchCache {
  readonly #store: Store;
  readonly #codec: ObjectCodec;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #resting: RestingObjects | undefined;
  readonly #caches = new Map<string, ResourceCache>();
  readonly #loading = new Map<string, Loading>();
  /** The last of the reads of each resource's log. */
  readonly #reaching = new Map<string, Promise<void>>();
  readonly #window = new ChangeWindow();
  #waiters: Waiter[] = [];
  #recent: StoredObject[] = [];
  #isReleasing = false;
  #revision = 0;
  #stopWatch: (() => void) | undefined;
  #failure: Error | undefined;
  #restTimer: Timer | undefined;
  /** Where the cache stood when it last looked who is at rest. */
  #restRevision = 0;

  constructor(options: {
    readonly store: Store;
    readonly codec: ObjectCodec;
    readonly clock: Clock;
    readonly logger: Logger;
  }) {
    const { store, codec } = options;
    this.#store = store;
    this.#codec = codec;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#resting = isImmediate(store) ? new RestingObjects(store, codec) : undefined;
  }

  /** The revision that all caches stand at. */
  get revision(): number {
    return this.#revision;
  }

  /** How much was written since the start, in bytes of objects. */
  get changedBytes(): number {
    return this.#window.totalBytes;
  }

  /** Begins to follow the store. */
  async start(): Promise<void> {
    this.#revision = this.#store.currentRevision();
    const watcher: StoreWatcher = {
      onEvents: (events, revision) => this.#onEvents(events, revision),
      onEnd: (error) => this.#onEnd(error),
    };
    this.#stopWatch = await this.#store.watch({ prefix: REGISTRY_PREFIX, afterRevision: this.#revision }, watcher);
    if (this.#resting !== undefined) this.#restLater(this.#resting);
  }

  stop(): void {
    this.#restTimer?.clear();
    this.#stopWatch?.();
    this.#onEnd(new Error("the watch cache was stopped"));
  }

  /** The resource's cache, at least as new as every write acknowledged so far. Gives it at once where it can. */
  fresh(resource: StoredResource): ResourceCache | Promise<ResourceCache> {
    const cache = this.#caches.get(resource.prefix);
    const newest = this.#store.currentRevision();
    if (cache !== undefined && this.#revision >= newest) return cache;
    return this.#freshLater(resource, newest);
  }

  /** Resolves when the cache has seen `revision`. Rejects when it no longer follows the store. */
  waitFor(revision: number): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#revision >= revision) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ revision, resolve, reject }));
  }

  /** The object that a store's entry holds; used by reads of the past as well. */
  decode(resource: StoredResource, entry: { key: string; modRevision: number; value: Uint8Array }): StoredObject {
    return this.#codec.decode(resource, { key: entry.key, revision: entry.modRevision, value: entry.value });
  }

  /**
   * Reads from the store's log what happened after `afterRevision` and before the cache's own history began, so that a watch can begin there: a server that was
   * just started goes on where the last one ended, and nobody lists anew. What was compacted or is too much stays unknown.
   */
  async reachBack(cache: ResourceCache, afterRevision: number): Promise<void> {
    const { prefix } = cache.resource;
    // One after another: who waited may find that all is there.
    const turn = (this.#reaching.get(prefix) ?? Promise.resolve()).then(async () => {
      if (afterRevision < cache.historyRevision) await this.#readBack(cache, afterRevision);
    });
    this.#reaching.set(prefix, turn);
    await turn;
    if (this.#reaching.get(prefix) === turn) this.#reaching.delete(prefix);
  }

  /** Forgets a resource that is no longer served; its watches end. */
  forget(resource: StoredResource): void {
    const { prefix } = resource;
    const cache = this.#caches.get(prefix);
    if (cache === undefined) return;
    // Nobody will wake them before they are overwritten.
    for (const object of cache.snapshot().from(prefix)) object.wake(object.bytes);
    cache.endWatches();
    this.#caches.delete(prefix);
  }

  /** Drops what only compacted revisions need. */
  dropBefore(revision: number): void {
    for (const cache of this.#caches.values()) cache.dropSnapshotsBefore(revision);
  }

  async #readBack(cache: ResourceCache, afterRevision: number): Promise<void> {
    const upTo = cache.historyRevision;
    const older: StoreEvent[] = [];
    const { promise: done, resolve } = Promise.withResolvers<boolean>();
    const watcher: StoreWatcher = {
      onEvents(events, revision) {
        older.push(...events.filter((event) => event.revision <= upTo));
        if (revision >= upTo || older.length > MAX_OLDER) resolve(revision >= upTo);
      },
      onEnd: () => resolve(false),
    };
    try {
      const stop = await this.#store.watch({ prefix: cache.resource.prefix, afterRevision }, watcher);
      const isWhole = await done;
      stop();
      if (isWhole) cache.extendHistory(afterRevision, upTo, this.#changesOf(cache.resource, older));
    } catch (error) {
      if (!(error instanceof RevisionCompacted) && !(error instanceof RevisionInFuture)) throw error;
    }
  }

  #changesOf(resource: StoredResource, events: readonly StoreEvent[]): CacheEvent[] {
    return events.map(({ type, key, revision, value, previousValue }) => {
      const decode = (bytes: Uint8Array) => this.#codec.decode(resource, { key, revision, value: bytes });
      if (type === "delete") return new CacheEvent({ revision, key, current: undefined, previous: decode(value) });
      const previous = previousValue && decode(previousValue);
      return new CacheEvent({ revision, key, current: decode(value), previous });
    });
  }

  async #freshLater(resource: StoredResource, revision: number): Promise<ResourceCache> {
    const cache = this.#caches.get(resource.prefix) ?? (await this.#load(resource));
    await this.waitFor(revision);
    return cache;
  }

  #load(resource: StoredResource): Promise<ResourceCache> {
    const loading = this.#loading.get(resource.prefix);
    if (loading !== undefined) return loading.done;
    const events: StoreEvent[] = [];
    const done = this.#read(resource, events).finally(() => this.#loading.delete(resource.prefix));
    this.#loading.set(resource.prefix, { events, done });
    return done;
  }

  // Events that arrive while the range is read are kept, and applied when they are newer than what was read.
  async #read(resource: StoredResource, events: StoreEvent[]): Promise<ResourceCache> {
    const { entries, revision } = await this.#store.range({ prefix: resource.prefix });
    const cache = new ResourceCache(
      resource,
      revision,
      entries.map((entry) => this.decode(resource, entry)),
    );
    for (const entry of cache.snapshot().from(resource.prefix)) this.#resting?.add(entry);
    for (const event of events) if (event.revision > revision) this.#apply(cache, event);
    this.#caches.set(resource.prefix, cache);
    // What was read may be newer than what the watch has brought so far.
    await this.waitFor(revision);
    return cache;
  }

  #onEvents(events: readonly StoreEvent[], revision: number): void {
    let hasMoved = false;
    if (this.#resting !== undefined) for (const event of events) this.#wakePrevious(this.#resting, event);
    for (const event of events) {
      if (this.#window.add(event.revision, event.value.length)) hasMoved = true;
      const prefix = prefixOf(event.key);
      const cache = this.#caches.get(prefix);
      if (cache !== undefined) this.#apply(cache, event);
      else this.#loading.get(prefix)?.events.push(event);
    }
    if (revision > this.#revision) this.#revision = revision;
    if (hasMoved) for (const cache of this.#caches.values()) cache.dropUpTo(this.#window.start);
    if (this.#waiters.length > 0) this.#wake();
  }

  #apply(cache: ResourceCache, event: StoreEvent): void {
    const { key, revision, value } = event;
    const there = cache.get(key);
    if (there !== undefined && there.revision >= revision) return;
    try {
      const current = event.type === "put" ? this.#codec.decode(cache.resource, { key, revision, value }) : undefined;
      cache.apply({ key, revision, current });
      if (current === undefined) return;
      this.#resting?.add(current);
      this.#releaseLater(current);
    } catch (error) {
      this.#logger.error("Could not read an object of the store", { key, revision, error });
    }
  }

  // In-process watches ask for the parsed form within the next turns; nobody does later.
  #releaseLater(object: StoredObject): void {
    if (this.#recent.push(object) > MAX_PARSED) this.#recent.shift()?.releaseParsed();
    if (this.#isReleasing) return;
    this.#isReleasing = true;
    setTimeout(() => {
      this.#isReleasing = false;
      const recent = this.#recent;
      this.#recent = [];
      for (const each of recent) each.releaseParsed();
    }, PARSED_MS).unref();
  }

  // Before any of a commit's changes shows: whoever is told of one may look at others.
  #wakePrevious(resting: RestingObjects, { type, key, value, previousValue }: StoreEvent): void {
    const before = this.#caches.get(prefixOf(key))?.get(key);
    if (before?.isResting === true) resting.wake(before, type === "delete" ? value : previousValue);
  }

  #restLater(resting: RestingObjects): void {
    this.#restTimer = this.#clock.setTimer(REST_MS, async () => {
      await resting.sweep((object) => this.#caches.get(object.resource.prefix)?.get(object.key) === object);
      for (const cache of this.#caches.values()) cache.dropHistoryUpTo(this.#restRevision);
      this.#restRevision = this.#revision;
      if (this.#failure === undefined) this.#restLater(resting);
    });
  }

  #wake(): void {
    const due = this.#waiters.filter((waiter) => waiter.revision <= this.#revision);
    this.#waiters = this.#waiters.filter((waiter) => waiter.revision > this.#revision);
    for (const waiter of due) waiter.resolve();
  }

  #onEnd(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const cache of this.#caches.values()) cache.endWatches();
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }
}

function prefixOf(key: string): string {
  return key.slice(0, key.indexOf("/", REGISTRY_PREFIX.length) + 1);
}
