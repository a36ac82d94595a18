/**
 * The store's contract: keys and values under one counter of revisions, with history. etcd's v3 model, cut to what an API server needs.
 * Every implementation passes `storeSuite` in store-suite.ts.
 *
 * Words. A *revision* is the store's counter: each committed write raises it by one, whatever number of keys it touches.
 * A key's *modRevision* is the revision that last wrote it, its *createRevision* the one that made it. Keys are ordered by their bytes (UTF-8),
 * and are 1 to 1,900 of them. A revision becomes visible, to reads and to watches, only when it is durable; a write that changes nothing has none.
 */

/** One key at one revision. `value` must not be changed by the receiver; it may be a view on memory that others read too. */
export type StoreEntry = {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
};

/** One key of a write. All of a write's operations happen at one revision or none does; a key may stand in it once. */
export type WriteOperation = {
  readonly key: string;
  /** The new value; undefined deletes the key. */
  readonly value: Uint8Array | undefined;
  /**
   * What must hold for the write to happen: 0 means that the key must not exist, a revision that the key's modRevision is this one,
   * undefined that anything goes (deleting an absent key then does nothing to that key).
   */
  readonly expectedRevision: number | undefined;
};

/** What became of a write. On `ok: false` nothing was written; `key` is the first whose condition failed, `current` what stands there. */
export type WriteResult =
  | { readonly ok: true; readonly revision: number }
  | { readonly ok: false; readonly revision: number; readonly key: string; readonly current: StoreEntry | undefined };

/** Which keys to read: those from `startKey` on that begin with `prefix`, in order, at most `limit`. */
export type RangeRequest = {
  readonly prefix: string;
  /** First key that may be given (inclusive). Default: the prefix itself. */
  readonly startKey?: string;
  /** Most entries to give; 0 or absent means all. */
  readonly limit?: number;
  /** Read the past: the state as it was at this revision. Absent: the newest. */
  readonly revision?: number;
  /** Also count the keys that the limit cut off. Costs a walk over them. */
  readonly countRemaining?: boolean;
};

/** Answer to a range. `revision` is the one that was read: the asked one, or the newest at that moment. */
export type RangeResult = {
  readonly entries: readonly StoreEntry[];
  readonly revision: number;
  /** True when the limit cut entries off. */
  readonly more: boolean;
  /** How many were cut off; only with `countRemaining`. */
  readonly remaining?: number;
};

/** One change of one key. Changes of one write have the same revision and come in the write's order. */
export type StoreEvent = {
  readonly type: "put" | "delete";
  readonly key: string;
  readonly revision: number;
  /** The new value; for a delete the last value. */
  readonly value: Uint8Array;
  readonly createRevision: number;
  /** The value before a put over an existing key. */
  readonly previousValue?: Uint8Array;
};

/**
 * Receives changes. Called in order of revision, never twice with the same, never while another call of it runs. Must not throw.
 * A live watch is called once after each commit, also when no key of its was touched: so it knows how far it has seen.
 */
export interface StoreWatcher {
  /** All events of one or more whole revisions, in order. `revision` is the newest that they cover; with no events it is progress only. */
  onEvents(events: readonly StoreEvent[], revision: number): void;
  /** The watch ended by itself: the store was closed ({@link StoreClosed}) or history was lost ({@link RevisionCompacted}). */
  onEnd(error: Error): void;
}

/** Keys and values with history. */
export interface Store {
  /** The newest durable revision. 1 for a new store. Never goes back, also across restarts. */
  currentRevision(): number;
  /** Revisions up to this one can no longer be read as the past. */
  compactedRevision(): number;
  /** The key's entry, or undefined. With `revision` as it was then. Throws {@link RevisionCompacted}, {@link RevisionInFuture}. */
  get(key: string, options?: { readonly revision?: number }): Promise<StoreEntry | undefined>;
  /** Reads keys in order. Throws {@link RevisionCompacted}, {@link RevisionInFuture}. */
  range(request: RangeRequest): Promise<RangeResult>;
  /**
   * Commits all operations or none. Writes take effect in the order of the calls. Resolves when the write is durable and visible, and after the
   * live watches were told. The values belong to the store from the call on. Throws {@link StoreFull}, {@link StoreClosed}.
   */
  write(operations: readonly WriteOperation[]): Promise<WriteResult>;
  /**
   * Gives `watcher` every change after `afterRevision` (absent: after now) of keys that begin with `prefix`, past ones first, until the returned function
   * is called. Throws {@link RevisionCompacted} when history does not reach back that far (`afterRevision` below the compacted revision), and
   * {@link RevisionInFuture}.
   */
  watch(
    request: { readonly prefix: string; readonly afterRevision?: number },
    watcher: StoreWatcher,
  ): Promise<() => void>;
  /** Drops history up to `revision`: what was overwritten or deleted by then. Lower than before is success and does nothing. Throws {@link RevisionInFuture}. */
  compact(revision: number): Promise<void>;
  /** Ends all watches and frees everything. Writes under way are finished first; later reads, writes and watches throw {@link StoreClosed}. May be called twice. */
  close(): Promise<void>;
}

/** A store whose newest state can be read without waiting: who follows it need not keep a copy of all that it holds. */
export interface ImmediateStore extends Store {
  /** The key's entry as last announced, or undefined; what a watcher is just being told of counts as announced. Throws {@link StoreClosed}. */
  current(key: string): StoreEntry | undefined;
}

/** True for stores that can be read without waiting. */
export function isImmediate(store: Store): store is ImmediateStore {
  return "current" in store;
}

/** The asked revision was compacted away. */
export class RevisionCompacted extends Error {
  readonly kind = "RevisionCompacted";
  readonly compactedRevision: number;
  constructor(revision: number, compactedRevision: number) {
    super(`revision ${revision} was compacted; the oldest that can be read is ${compactedRevision + 1}`);
    this.compactedRevision = compactedRevision;
  }
}

/** The asked revision has not happened yet. */
export class RevisionInFuture extends Error {
  readonly kind = "RevisionInFuture";
  readonly currentRevision: number;
  constructor(revision: number, currentRevision: number) {
    super(`revision ${revision} has not happened; the newest is ${currentRevision}`);
    this.currentRevision = currentRevision;
  }
}

/** There is no room for the write: the disk or the store's bound is full. Deletes may still work. */
export class StoreFull extends Error {
  readonly kind = "StoreFull";
}

/** The store was closed. */
export class StoreClosed extends Error {
  readonly kind = "StoreClosed";
}

/** The data folder cannot be used: `why` says whether another process has it, it is of a newer format, or a record is damaged. */
export class StoreUnusable extends Error {
  readonly kind = "StoreUnusable";
  readonly why: "locked" | "newer-format" | "damaged" | "unwritable";
  constructor(why: "locked" | "newer-format" | "damaged" | "unwritable", message: string, options?: ErrorOptions) {
    super(message, options);
    this.why = why;
  }
}
