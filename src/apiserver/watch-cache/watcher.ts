/**
 * One watch on a resource: a place in its group's queue, between the cache, which must never wait, and whoever writes the events out. A watch that falls too far behind is ended; its client starts
 * again where it was.
 */
import type { CacheEvent, OutgoingEvent } from "./cache-event.ts";
import type { Selection } from "./selection.ts";
import { type Batch, type BatchForm, countWithin, type GroupMember, type WatcherGroup } from "./watcher-group.ts";

/** A watch as the cache sees it. */
export class Watcher implements GroupMember {
  /** Only events after this revision. */
  readonly afterRevision: number;
  readonly #group: WatcherGroup<Watcher>;
  /** What was the newest when it began. */
  readonly #startRevision: number;
  /** True until an event after its revision was seen: it may have begun at a revision that had not happened. */
  #isAhead = true;
  /** What happened between its revision and its beginning. */
  #backlog: OutgoingEvent[] = [];
  #next: number;
  #onReady: () => void = () => {};
  #isEnded = false;

  constructor(group: WatcherGroup<Watcher>, afterRevision: number, startRevision: number) {
    this.#group = group;
    this.afterRevision = afterRevision;
    this.#startRevision = startRevision;
    this.#next = group.end;
  }

  get selection(): Selection {
    return this.#group.selection;
  }

  get group(): WatcherGroup<Watcher> {
    return this.#group;
  }

  /** True when no more events come: the consumer was too slow or the cache was closed. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** The revision up to which everything was given to the queue. */
  get progress(): number {
    return Math.max(this.afterRevision, this.#group.progress);
  }

  get hasEvents(): boolean {
    return this.#backlog.length > 0 || (!this.#isEnded && this.#next < this.#group.end);
  }

  /** The number of the next event that it takes. */
  get next(): number {
    return this.#next;
  }

  /** True when it holds on to changes up to this revision. What happened before it began counts as of then. */
  isBehind(revision: number): boolean {
    if (this.#backlog.length > 0) return this.#startRevision <= revision;
    return (this.#group.at(this.#next)?.object.revision ?? Infinity) <= revision;
  }

  /** Registers what is called (once or more) after events were queued or the watch ended. */
  onReady(callback: () => void): void {
    this.#onReady = callback;
  }

  /** The next queued events: about as many as `maxBytes` of objects allow, but at least one. */
  take(maxBytes: number = Infinity): readonly OutgoingEvent[] {
    if (this.#isEnded) return [];
    if (this.#backlog.length > 0) return this.#backlog.splice(0, countWithin(this.#backlog, 0, maxBytes));
    this.#skipPast();
    const events = this.#group.take(this, this.#next, maxBytes);
    this.#next += events.length;
    return events;
  }

  /** The next of them in one form, shared with all that take the same events. Undefined when this one has to {@link take} its own. */
  takeBatch(form: BatchForm): Batch | undefined {
    this.#skipPast();
    if (this.#backlog.length > 0 || !this.hasEvents) return undefined;
    const { batch, count } = this.#group.takeBatch(this, this.#next, form);
    this.#next += count;
    return batch;
  }

  #skipPast(): void {
    while (this.#isAhead) {
      const event = this.#group.at(this.#next);
      if (event === undefined) return;
      if (event.object.revision > this.afterRevision) this.#isAhead = false;
      else this.#next++;
    }
  }

  /** What happened before it began; called by the cache, in order. */
  prepend(event: CacheEvent): void {
    if (!event.key.startsWith(this.selection.prefix)) return;
    const outgoing = event.seenThrough(this.selection.filter);
    if (outgoing !== undefined) this.#backlog.push(outgoing);
  }

  /** Called by the group when there are events. */
  wake(): void {
    this.#onReady();
  }

  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#backlog = [];
    this.#onReady();
  }
}
