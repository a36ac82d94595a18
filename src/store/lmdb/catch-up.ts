/**
 * A watch that begins in the past: reads the log slice by slice and joins the live watches as soon as the rest is in memory. The last look at
 * where the store is and the joining happen in one synchronous step, so nothing falls between and nothing comes twice.
 */
import { ChangeIndex } from "#store/lmdb/change-index.ts";
import type { LmdbDatabase } from "#store/lmdb/database.ts";
import type { HistoryReader } from "#store/lmdb/history-reader.ts";
import type { RecentEvents } from "#store/lmdb/recent-events.ts";
import type { StoreWatcher } from "#store/store.ts";
import { deliver, eventsWithPrefix, type WatchHub } from "#store/watch-hub.ts";

/** What a catch-up reads from and joins. */
export type CatchUpOptions = {
  readonly database: LmdbDatabase;
  readonly reader: HistoryReader;
  readonly recent: RecentEvents;
  readonly hub: WatchHub;
  readonly currentRevision: () => number;
  readonly prefix: string;
  readonly afterRevision: number;
  readonly watcher: StoreWatcher;
};

/** One watch on its way from the past to the present. */
export class CatchUp {
  readonly #options: CatchUpOptions;
  readonly #index: ChangeIndex;
  #seenRevision: number;
  #leave: (() => void) | undefined;
  #isOver = false;

  constructor(options: CatchUpOptions) {
    this.#options = options;
    this.#index = new ChangeIndex(options.database, options.prefix, options.afterRevision);
    this.#seenRevision = options.afterRevision;
  }

  /** Runs until the watch is live, was stopped or failed. Never rejects: an error ends the watch. */
  async run(): Promise<void> {
    try {
      while (!this.#isOver && !this.#join()) {
        await this.#options.reader.cover(this.#index);
        if (!this.#isOver) this.#deliverSlice();
        await new Promise((resolve) => setImmediate(resolve));
      }
    } catch (error) {
      this.end(error as Error);
    }
  }

  /** Ends the watch without a word. */
  stop(): void {
    this.#isOver = true;
    this.#leave?.();
  }

  /** Ends the watch, and says why unless it is over. */
  end(error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#options.watcher.onEnd(error);
  }

  /** Goes live if what is missing is in memory. */
  #join(): boolean {
    const { recent, hub, prefix, watcher } = this.#options;
    const missed = recent.after(this.#seenRevision);
    if (!missed) return false;
    const revision = this.#options.currentRevision();
    this.#leave = hub.join(prefix, revision, watcher);
    if (revision > this.#seenRevision) deliver(watcher, eventsWithPrefix(missed, prefix), revision);
    return true;
  }

  #deliverSlice(): void {
    const { reader, prefix, watcher } = this.#options;
    const slice = reader.events(prefix, this.#seenRevision, this.#options.currentRevision(), this.#index);
    this.#seenRevision = slice.revision;
    deliver(watcher, slice.events, slice.revision);
  }
}
