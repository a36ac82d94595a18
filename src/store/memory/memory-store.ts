/**
 * The store in memory, with all of the contract's promises but durability: for tests, and for clusters that may be forgotten.
 */
import assert from "node:assert";
import { checkKey, compareKeys, firstKey } from "#store/keys.ts";
import {
  type ImmediateStore,
  type RangeRequest,
  type RangeResult,
  RevisionCompacted,
  RevisionInFuture,
  StoreClosed,
  type StoreEntry,
  type StoreEvent,
  type StoreWatcher,
  type WriteOperation,
  type WriteResult,
} from "#store/store.ts";
import { deliver, eventsWithPrefix, WatchHub } from "#store/watch-hub.ts";

/** What a key was from `modRevision` on; without an entry it was deleted then. */
type Version = { readonly modRevision: number; readonly entry: StoreEntry | undefined };

/** A new, empty store that lives as long as the process. */
export function createMemoryStore(): ImmediateStore {
  return new MemoryStore();
}

class MemoryStore implements ImmediateStore {
  readonly #hub = new WatchHub();
  /** All keys with a version, deleted ones too, in order. */
  #keys: string[] = [];
  /** Of each key, oldest first. Never empty. */
  readonly #versions = new Map<string, Version[]>();
  /** Every change after the compacted revision, oldest first. */
  #events: StoreEvent[] = [];
  #revision = 1;
  #compacted = 0;
  #isClosed = false;

  currentRevision(): number {
    return this.#revision;
  }

  compactedRevision(): number {
    return this.#compacted;
  }

  current(key: string): StoreEntry | undefined {
    this.#checkOpen();
    return this.#entryAt(key, this.#revision);
  }

  async get(key: string, options: { readonly revision?: number } = {}): Promise<StoreEntry | undefined> {
    this.#checkReadable(options.revision);
    return this.#entryAt(key, options.revision ?? this.#revision);
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    this.#checkReadable(request.revision);
    const revision = request.revision ?? this.#revision;
    const limit = request.limit || Number.POSITIVE_INFINITY;
    const entries: StoreEntry[] = [];
    let remaining = 0;
    for (let i = this.#indexOf(firstKey(request)); this.#keys[i]?.startsWith(request.prefix); i++) {
      const entry = this.#entryAt(this.#keys[i]!, revision);
      if (!entry) continue;
      if (entries.length < limit) entries.push(entry);
      else remaining++;
      if (remaining > 0 && !request.countRemaining) break;
    }
    return { entries, revision, more: remaining > 0, ...(request.countRemaining ? { remaining } : {}) };
  }

  async write(operations: readonly WriteOperation[]): Promise<WriteResult> {
    this.#checkOpen();
    for (const { key } of operations) checkKey(key);
    assert(new Set(operations.map(({ key }) => key)).size === operations.length, "a key may stand in a write once");
    // Waiting a turn keeps users honest: in a durable store nothing is visible before the promise resolves either.
    await Promise.resolve();
    const refused = this.#checkConditions(operations);
    if (refused) return refused;
    const events = operations.map((operation) => this.#change(operation)).filter((event) => event !== undefined);
    if (events.length === 0) return { ok: true, revision: this.#revision };
    this.#revision++;
    const revision = this.#revision;
    for (const event of events) this.#record(event);
    this.#hub.publish(events, revision);
    return { ok: true, revision };
  }

  async watch(
    request: { readonly prefix: string; readonly afterRevision?: number },
    watcher: StoreWatcher,
  ): Promise<() => void> {
    this.#checkOpen();
    const after = request.afterRevision ?? this.#revision;
    if (after < this.#compacted) throw new RevisionCompacted(after, this.#compacted);
    if (after > this.#revision) throw new RevisionInFuture(after, this.#revision);
    const stop = this.#hub.join(request.prefix, this.#revision, watcher);
    const past = this.#events.filter((event) => event.revision > after);
    if (after < this.#revision) deliver(watcher, eventsWithPrefix(past, request.prefix), this.#revision);
    return stop;
  }

  async compact(revision: number): Promise<void> {
    this.#checkOpen();
    if (revision > this.#revision) throw new RevisionInFuture(revision, this.#revision);
    if (revision <= this.#compacted) return;
    this.#compacted = revision;
    this.#events = this.#events.filter((event) => event.revision > revision);
    for (const [key, versions] of this.#versions) {
      const kept = versions.filter((version, i) => !version.entry || !isSupersededBy(versions[i + 1], revision));
      const first = kept.findIndex((version) => version.entry !== undefined || version.modRevision > revision);
      if (first < 0) this.#versions.delete(key);
      else this.#versions.set(key, kept.slice(first));
    }
    this.#keys = this.#keys.filter((key) => this.#versions.has(key));
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // Writes that were called before take effect first.
    await Promise.resolve();
    this.#hub.endAll(new StoreClosed("the store was closed"));
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new StoreClosed("the store was closed");
  }

  #checkReadable(revision: number | undefined): void {
    this.#checkOpen();
    if (revision === undefined) return;
    if (revision <= this.#compacted) throw new RevisionCompacted(revision, this.#compacted);
    if (revision > this.#revision) throw new RevisionInFuture(revision, this.#revision);
  }

  #entryAt(key: string, revision: number): StoreEntry | undefined {
    return this.#versions.get(key)?.findLast((version) => version.modRevision <= revision)?.entry;
  }

  /** Where `key` stands among the keys, or would stand. */
  #indexOf(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareKeys(this.#keys[middle]!, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #checkConditions(operations: readonly WriteOperation[]): WriteResult | undefined {
    for (const { key, expectedRevision } of operations) {
      if (expectedRevision === undefined) continue;
      const current = this.#entryAt(key, this.#revision);
      if ((current?.modRevision ?? 0) !== expectedRevision)
        return { ok: false, revision: this.#revision, key, current };
    }
    return undefined;
  }

  #change({ key, value }: WriteOperation): StoreEvent | undefined {
    const before = this.#entryAt(key, this.#revision);
    const revision = this.#revision + 1;
    if (value === undefined) {
      if (!before) return undefined;
      return { type: "delete", key, revision, value: before.value, createRevision: before.createRevision };
    }
    if (!before) return { type: "put", key, revision, value, createRevision: revision };
    return { type: "put", key, revision, value, createRevision: before.createRevision, previousValue: before.value };
  }

  #record(event: StoreEvent): void {
    const { key, value, createRevision, revision: modRevision } = event;
    this.#events.push(event);
    const entry = event.type === "put" ? { key, value, createRevision, modRevision } : undefined;
    const versions = this.#versions.get(key);
    if (versions) versions.push({ modRevision, entry });
    else {
      this.#keys.splice(this.#indexOf(key), 0, key);
      this.#versions.set(key, [{ modRevision, entry }]);
    }
  }
}

function isSupersededBy(next: Version | undefined, revision: number): boolean {
  return next !== undefined && next.modRevision <= revision;
}
