/**
 * Reads the store's state at a revision. LMDB shows the newest committed state, which may be newer than what the store has announced; so
 * a read takes the rows and undoes what came after its revision: changes of the commit under way (from memory), and later ones (from the log).
 * Everything between two waits sees one state of the file; no transaction of LMDB lives longer.
 */
import { compareKeys, firstKey } from "#store/keys.ts";
import { ChangeIndex } from "#store/lmdb/change-index.ts";
import type { LmdbDatabase } from "#store/lmdb/database.ts";
import {
  type RangeRequest,
  type RangeResult,
  RevisionCompacted,
  type StoreEntry,
  type StoreEvent,
} from "#store/store.ts";

/** What the reader must know of the store that it reads. */
export type ReaderView = {
  /** The newest announced revision. */
  visibleRevision(): number;
  /** Log records up to this revision may be gone. */
  compactedRevision(): number;
  /** The keys that the commit under way changes, with their entries as announced. */
  beforeCommit(): ReadonlyMap<string, StoreEntry | undefined>;
  /** Throws when the store was closed. */
  checkOpen(): void;
};

/** Most rows, or revisions of the log, that are read at one go: about a millisecond. */
const SLICE_ROWS = 250;
/** Most bytes of old values that one slice of events reads. */
const SLICE_BYTES = 2 << 20;
/** Pages of one list come soon after each other and share an index of the changes since. */
const KEPT_INDEXES = 4;

/** Reads entries as they are and as they were. */
export class HistoryReader {
  readonly #database: LmdbDatabase;
  readonly #view: ReaderView;
  readonly #indexes = new Map<string, ChangeIndex>();

  constructor(database: LmdbDatabase, view: ReaderView) {
    this.#database = database;
    this.#view = view;
  }

  /** The key's entry at the announced revision. */
  current(key: string): StoreEntry | undefined {
    const before = this.#view.beforeCommit();
    return before.has(key) ? before.get(key) : this.#database.readEntry(key);
  }

  /** The key's entry at an earlier revision. */
  async at(key: string, revision: number): Promise<StoreEntry | undefined> {
    const current = this.current(key);
    if (current && current.modRevision <= revision) return current;
    const index = new ChangeIndex(this.#database, key, revision);
    await this.cover(index);
    return this.#entryAt(key, revision, index);
  }

  /** A range at the announced or an earlier revision. */
  async range(request: RangeRequest): Promise<RangeResult> {
    for (;;) {
      try {
        return await this.#rangeAt(request, request.revision ?? this.#view.visibleRevision());
      } catch (error) {
        // A range of the newest state that a compaction overtook begins again with what is newest now.
        if (!(error instanceof RevisionCompacted) || request.revision !== undefined) throw error;
      }
    }
  }

  /** Reads the log until the index covers everything announced. What the caller does before its next wait sees that state. */
  async cover(index: ChangeIndex): Promise<void> {
    while (!index.extend(this.#view.visibleRevision(), this.#view.compactedRevision())) await this.#letOthersRun();
  }

  /**
   * The first events after `from`, up to `to` at most, and the revision that they reach to. `index` must cover the announced revision, and reach
   * back to `from`.
   */
  events(prefix: string, from: number, to: number, index: ChangeIndex): EventSlice {
    const events: StoreEvent[] = [];
    let revision = Math.min(to, from + SLICE_ROWS);
    let bytes = 0;
    this.#database.readLog(from + 1, revision, (found) => {
      if (bytes > SLICE_BYTES) {
        revision = found - 1;
        return undefined;
      }
      return (key, type, _existed, readBefore) => {
        if (!key.startsWith(prefix)) return;
        const event = eventOf(found, type, key, readBefore());
        bytes += event.previousValue?.length ?? event.value.length;
        events.push(event);
      };
    });
    return { events: events.map((event) => this.#withValue(event, index)), revision };
  }

  /** Drops what is kept of the past. */
  forget(): void {
    this.#indexes.clear();
  }

  async #rangeAt(request: RangeRequest, revision: number): Promise<RangeResult> {
    const { prefix } = request;
    const limit = request.limit || Number.POSITIVE_INFINITY;
    const entries: StoreEntry[] = [];
    let index = revision < this.#view.visibleRevision() ? this.#indexOf(prefix, revision) : undefined;
    for (let next: string | undefined = firstKey(request); ; ) {
      if (index) await this.cover(index);
      const rows = Math.min(SLICE_ROWS, limit - entries.length + 1);
      const slice: Slice = this.#slice(prefix, next, rows, revision, index);
      entries.push(...slice.entries);
      if (entries.length > limit) return this.#cutOff(request, revision, entries, index);
      if (slice.next === undefined) break;
      next = slice.next;
      await this.#letOthersRun();
      index ??= this.#indexOf(prefix, revision);
    }
    return { entries, revision, more: false, ...(request.countRemaining ? { remaining: 0 } : {}) };
  }

  #cutOff(request: RangeRequest, revision: number, read: StoreEntry[], index: ChangeIndex | undefined): RangeResult {
    const entries = read.slice(0, request.limit);
    const rest = { entries, revision, more: true };
    if (!request.countRemaining) return rest;
    const firstCutOff = read[entries.length]!.key;
    let remaining = this.#database.countEntries(request.prefix, firstCutOff);
    // Back from what the file shows to what is announced, and from there to the past.
    for (const [key, before] of this.#changing(request.prefix, firstCutOff)) {
      remaining += Number(before !== undefined) - Number(this.#database.hasEntry(key));
    }
    return { ...rest, remaining: remaining + (index?.countLost(firstCutOff) ?? 0) };
  }

  /** One slice of rows with later changes undone: rows as they were, and those that are gone since, in order. */
  #slice(prefix: string, start: string, limit: number, revision: number, index: ChangeIndex | undefined): Slice {
    const { entries: rows, isEnd } = this.#database.readEntries({ prefix, start, limit });
    const end = isEnd ? undefined : rows.at(-1)!.key;
    const before = this.#view.beforeCommit();
    if (!index && before.size === 0) return { entries: rows, next: end === undefined ? undefined : `${end}\0` };
    const gone = this.#goneKeys(prefix, start, limit, index);
    const last = gone.length < limit ? end : firstOf(end, gone.at(-1)!);
    const isInSlice = (key: string): boolean => last === undefined || compareKeys(key, last) <= 0;
    const entries: StoreEntry[] = [];
    for (const row of rows) {
      if (!isInSlice(row.key)) break;
      const entry = index?.has(row.key) || before.has(row.key) ? this.#entryAt(row.key, revision, index) : row;
      if (entry) entries.push(entry);
    }
    const shown = new Set(rows.map(({ key }) => key));
    const missing = gone.filter((key) => !shown.has(key) && isInSlice(key));
    for (const key of missing) entries.push(this.#entryAt(key, revision, index)!);
    if (missing.length > 0) entries.sort((a, b) => compareKeys(a.key, b.key));
    return { entries, next: last === undefined ? undefined : `${last}\0` };
  }

  /** The first `limit` keys that existed at the index' revision, but may be absent from the file: deleted since, or by the commit under way. */
  #goneKeys(prefix: string, start: string, limit: number, index: ChangeIndex | undefined): readonly string[] {
    const gone = index?.goneFrom(start, limit) ?? [];
    const going: string[] = [];
    for (const [key, before] of this.#changing(prefix, start)) {
      if (before && (!index?.has(key) || index.existedBefore(key))) going.push(key);
    }
    return going.length === 0 ? gone : [...gone, ...going].sort(compareKeys).slice(0, limit);
  }

  /** What the commit under way changes, from `start` on, with the entries before it. */
  #changing(prefix: string, start: string): readonly (readonly [string, StoreEntry | undefined])[] {
    return [...this.#view.beforeCommit()].filter(([key]) => key.startsWith(prefix) && compareKeys(key, start) >= 0);
  }

  /** The log has the values before; a put's own value is in the key's next change, or current. */
  #withValue(event: StoreEvent, index: ChangeIndex): StoreEvent {
    if (event.type === "delete") return event;
    return { ...event, value: this.#entryAt(event.key, event.revision, index)!.value };
  }

  #entryAt(key: string, revision: number, index: ChangeIndex | undefined): StoreEntry | undefined {
    const change = index?.changeAfter(key, revision);
    return change === undefined ? this.current(key) : this.#database.readBefore(change, key);
  }

  #indexOf(prefix: string, revision: number): ChangeIndex {
    const name = `${revision} ${prefix}`;
    const index = this.#indexes.get(name) ?? new ChangeIndex(this.#database, prefix, revision);
    this.#indexes.delete(name);
    this.#indexes.set(name, index);
    if (this.#indexes.size > KEPT_INDEXES) this.#indexes.delete(this.#indexes.keys().next().value!);
    return index;
  }

  async #letOthersRun(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#view.checkOpen();
  }
}

/** Whole revisions' events up to `revision`. */
export type EventSlice = { readonly events: readonly StoreEvent[]; readonly revision: number };

type Slice = { readonly entries: readonly StoreEntry[]; readonly next: string | undefined };

function firstOf(end: string | undefined, key: string): string {
  return end !== undefined && compareKeys(end, key) < 0 ? end : key;
}

/** The event, for a put still without its value. */
function eventOf(revision: number, type: "put" | "delete", key: string, before: StoreEntry | undefined): StoreEvent {
  const createRevision = before?.createRevision ?? revision;
  if (type === "delete") return { type, key, revision, createRevision, value: before!.value };
  const event = { type, key, revision, createRevision, value: NO_VALUE };
  return before ? { ...event, previousValue: before.value } : event;
}

const NO_VALUE = new Uint8Array(0);
