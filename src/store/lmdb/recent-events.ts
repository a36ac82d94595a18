/**
 * The newest events, kept in memory so that a watch from the near past need not read the log.
 */
import type { StoreEvent } from "#store/store.ts";

/** Bounds of what is kept; the values are mostly also in the API server's cache. */
const MAX_EVENTS = 1024;
const MAX_BYTES = 1 << 20;

/** A queue of whole revisions' events. */
export class RecentEvents {
  #batches: { readonly events: readonly StoreEvent[]; readonly revision: number; readonly bytes: number }[] = [];
  #eventCount = 0;
  #bytes = 0;
  /** Every event after this revision is here. */
  #reachesBackTo: number;

  constructor(revision: number) {
    this.#reachesBackTo = revision;
  }

  /** Adds the events of the revisions up to `revision`, and drops the oldest. */
  add(events: readonly StoreEvent[], revision: number): void {
    const bytes = events.reduce((sum, event) => sum + event.value.length + (event.previousValue?.length ?? 0), 0);
    this.#batches.push({ events, revision, bytes });
    this.#eventCount += events.length;
    this.#bytes += bytes;
    while (this.#eventCount > MAX_EVENTS || this.#bytes > MAX_BYTES) this.#dropOldest();
  }

  /** All events after `revision`, or undefined when they are not all here. */
  after(revision: number): readonly StoreEvent[] | undefined {
    if (revision < this.#reachesBackTo) return undefined;
    const batches = this.#batches.filter((batch) => batch.revision > revision);
    return batches.flatMap(({ events }) => events).filter((event) => event.revision > revision);
  }

  #dropOldest(): void {
    const oldest = this.#batches.shift()!;
    this.#eventCount -= oldest.events.length;
    this.#bytes -= oldest.bytes;
    this.#reachesBackTo = oldest.revision;
  }
}
