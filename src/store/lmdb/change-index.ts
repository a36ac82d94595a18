/**
 * Which keys changed after some revision, and when: read from the log bit by bit, so that no read of LMDB lasts long. With it the past is the
 * present with the first change after that past undone, key by key.
 */
import { compareKeys } from "#store/keys.ts";
import type { LmdbDatabase } from "#store/lmdb/database.ts";
import { RevisionCompacted, StoreUnusable } from "#store/store.ts";

/** The changes of one key: their revisions, oldest first, and whether it existed before the first and exists after the last. */
type KeyChanges = { readonly revisions: number[]; readonly existedBefore: boolean; existsNow: boolean };

/** Most log records that one slice reads: about a millisecond. */
const SLICE_RECORDS = 250;

/** The changes of all keys with one prefix after one revision. */
export class ChangeIndex {
  readonly #database: LmdbDatabase;
  readonly #prefix: string;
  readonly #fromRevision: number;
  readonly #changes = new Map<string, KeyChanges>();
  #coveredTo: number;
  /** The keys that existed and do not any more, in order; made when asked for. */
  #gone: readonly string[] | undefined;

  constructor(database: LmdbDatabase, prefix: string, fromRevision: number) {
    this.#database = database;
    this.#prefix = prefix;
    this.#fromRevision = fromRevision;
    this.#coveredTo = fromRevision;
  }

  /**
   * Reads one slice of the log towards `revision`. True when all up to it is covered; the caller lets others run before it calls again. Throws
   * {@link RevisionCompacted} when the log does not reach back that far any more.
   */
  extend(revision: number, compactedRevision: number): boolean {
    if (this.#fromRevision < compactedRevision) throw new RevisionCompacted(this.#fromRevision, compactedRevision);
    if (this.#coveredTo >= revision) return true;
    const to = Math.min(revision, this.#coveredTo + SLICE_RECORDS);
    let expected = this.#coveredTo + 1;
    this.#gone = undefined;
    this.#database.readLog(expected, to, (found) => {
      if (found !== expected++) throw missing(expected - 1);
      return (key, type, existed) => this.#add(found, key, { existed, exists: type === "put" });
    });
    if (expected !== to + 1) throw missing(expected);
    this.#coveredTo = to;
    return to === revision;
  }

  /** True when the key changed in the time that is covered. */
  has(key: string): boolean {
    return this.#changes.has(key);
  }

  /** The revision of the key's first change after `revision`, or undefined. */
  changeAfter(key: string, revision: number): number | undefined {
    const revisions = this.#changes.get(key)?.revisions;
    if (!revisions) return undefined;
    if (revisions[0]! > revision) return revisions[0];
    let low = 1;
    let high = revisions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (revisions[middle]! > revision) high = middle;
      else low = middle + 1;
    }
    return revisions[low];
  }

  /** True when the key existed at the index' first revision. Only for keys that changed. */
  existedBefore(key: string): boolean {
    return this.#changes.get(key)?.existedBefore ?? false;
  }

  /** Keys that existed at the index' first revision and do not any more, in order: the first `limit` from `start` on. */
  goneFrom(start: string, limit: number): readonly string[] {
    this.#gone ??= this.#sortGone();
    let low = 0;
    for (let high = this.#gone.length; low < high; ) {
      const middle = (low + high) >>> 1;
      if (compareKeys(this.#gone[middle]!, start) < 0) low = middle + 1;
      else high = middle;
    }
    return this.#gone.slice(low, low + limit);
  }

  /** How many keys fewer there are now than at the index' first revision, from `start` on. */
  countLost(start: string): number {
    let lost = 0;
    for (const [key, { existedBefore, existsNow }] of this.#changes) {
      if (existedBefore !== existsNow && compareKeys(key, start) >= 0) lost += existedBefore ? 1 : -1;
    }
    return lost;
  }

  #sortGone(): readonly string[] {
    const gone: string[] = [];
    for (const [key, { existedBefore, existsNow }] of this.#changes) if (existedBefore && !existsNow) gone.push(key);
    return gone.sort(compareKeys);
  }

  #add(
    revision: number,
    key: string,
    { existed, exists }: { readonly existed: boolean; readonly exists: boolean },
  ): void {
    if (!key.startsWith(this.#prefix)) return;
    const changes = this.#changes.get(key);
    if (!changes) {
      this.#changes.set(key, { revisions: [revision], existedBefore: existed, existsNow: exists });
      return;
    }
    changes.revisions.push(revision);
    changes.existsNow = exists;
  }
}

function missing(revision: number): StoreUnusable {
  return new StoreUnusable("damaged", `the store is damaged: log record ${revision} is missing`);
}
