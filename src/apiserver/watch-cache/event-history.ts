/**
 * The last changes of one resource, in order of their revisions, for watches that begin a while ago.
 */
import type { CacheEvent } from "./cache-event.ts";

/** Most changes that are put before the history at once. */
export const MAX_OLDER = 4096;
const MAX_OLDER_BYTES = 16 << 20;

/** One resource's history. How long it is is up to its owner, who drops what is too old. */
export class EventHistory {
  #events: CacheEvent[] = [];
  /** Events after this revision are all here. */
  #revision: number;

  constructor(revision: number) {
    this.#revision = revision;
  }

  /** All changes after this revision are known. */
  get revision(): number {
    return this.#revision;
  }

  add(event: CacheEvent): void {
    this.#events.push(event);
  }

  /**
   * Puts older changes before the others: all of those after `afterRevision` up to `upTo`, in order. Does nothing when the history has moved on from `upTo` meanwhile, or when
   * they are too many.
   */
  extend(afterRevision: number, upTo: number, older: readonly CacheEvent[]): void {
    const bytes = older.reduce((sum, { previous }) => sum + (previous?.bytes.length ?? 0), 0);
    if (upTo !== this.#revision || older.length > MAX_OLDER || bytes > MAX_OLDER_BYTES) return;
    this.#events = [...older, ...this.#events];
    this.#revision = afterRevision;
  }

  /** The changes after a revision. */
  *after(revision: number): Generator<CacheEvent, void, undefined> {
    for (let i = this.#firstAfter(revision); i < this.#events.length; i++) yield this.#events[i] as CacheEvent;
  }

  /** Drops the changes up to a revision, and the forms that watches made of the others. */
  dropUpTo(revision: number): void {
    const dropped = this.#events.splice(0, this.#firstAfter(revision));
    this.#revision = dropped.at(-1)?.revision ?? this.#revision;
    for (const event of this.#events) event.dropForms();
  }

  #firstAfter(revision: number): number {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#events[middle] as CacheEvent).revision <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
