/**
 * Which keys changed after some revision, and when: read from the log bit by bit, so that no read of LMDB lasts long. With it the past is the
 * present with the first change after that past undone, key by key.
 */
import type { LmdbDatabase } from "#store/lmdb/database.ts";
import { RevisionCompacted, StoreUnusable } from "#store/store.ts";

/** The changes of one key, oldest first. */
type KeyChanges = { readonly revisions: number[]; readonly existedBefore: boolean };

/** Most log records that one slice reads: below a millisecond or two. */
const SLICE_RECORDS = 500;

/** The changes of all keys with one prefix after one revision. */
export class ChangeIndex {
  readonly #database: LmdbDatabase;
  readonly #prefix: string;
  readonly #fromRevision: number;
  readonly #changes = new Map<string, KeyChanges>();
  #coveredTo: number;

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
    this.#database.readLog(expected, to, (found) => {
      if (found !== expected++) throw missing(expected - 1);
      return (key, _type, existed) => this.#add(found, key, existed);
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

  /** The keys that changed, in no order, and whether they existed before their first change. */
  *keys(): Generator<{ readonly key: string; readonly existedBefore: boolean }> {
    for (const [key, { existedBefore }] of this.#changes) yield { key, existedBefore };
  }

  #add(revision: number, key: string, existed: boolean): void {
    if (!key.startsWith(this.#prefix)) return;
    const changes = this.#changes.get(key);
    if (changes) changes.revisions.push(revision);
    else this.#changes.set(key, { revisions: [revision], existedBefore: existed });
  }
}

function missing(revision: number): StoreUnusable {
  return new StoreUnusable("damaged", `the store is damaged: log record ${revision} is missing`);
}
