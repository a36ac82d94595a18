/**
 * One watch on a resource: a bounded queue between the cache, which must never wait, and whoever writes the events out. A watch that falls too far behind is ended; its client starts
 * again where it was.
 */
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import type { ObjectFilter, OutgoingEvent } from "./cache-event.ts";
import type { CacheEvent } from "./cache-event.ts";

/** Most events that may wait for one slow client. */
const MAX_QUEUED = 20_000;

/** Which objects a watch is about. */
export type Selection = {
  /** What keys begin with: a resource's or a namespace's prefix. */
  readonly prefix: string;
  /** Absent: all of them. */
  readonly filter?: ObjectFilter | undefined;
  /** The one value that a field must have, where the selector pins one: watches are found by it instead of being asked one by one. */
  readonly pinned?: { readonly field: string; readonly value: string } | undefined;
};

/** A watch as the cache sees it. */
export class Watcher {
  readonly selection: Selection;
  /** Only events after this revision. */
  readonly afterRevision: number;
  #queue: OutgoingEvent[] = [];
  #onReady: () => void = () => {};
  #isEnded = false;
  #progress: number;

  constructor(selection: Selection, afterRevision: number) {
    this.selection = selection;
    this.afterRevision = afterRevision;
    this.#progress = afterRevision;
  }

  /** True when no more events come: the consumer was too slow or the cache was closed. What is queued may still be taken. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** The revision up to which everything was given to the queue. */
  get progress(): number {
    return this.#progress;
  }

  get hasEvents(): boolean {
    return this.#queue.length > 0;
  }

  /** Registers what is called (once or more) after events were queued or the watch ended. */
  onReady(callback: () => void): void {
    this.#onReady = callback;
  }

  /** All queued events; the queue is empty afterwards. */
  take(): OutgoingEvent[] {
    const events = this.#queue;
    this.#queue = [];
    return events;
  }

  /** Called by the cache. */
  offer(event: CacheEvent): void {
    this.#progress = event.revision;
    if (this.#isEnded || event.revision <= this.afterRevision || !event.key.startsWith(this.selection.prefix)) return;
    const outgoing = event.seenThrough(this.selection.filter);
    if (outgoing === undefined) return;
    if (this.#queue.length >= MAX_QUEUED) return this.end();
    this.#queue.push(outgoing);
    this.#onReady();
  }

  /** Called by the cache as other objects change. */
  advance(revision: number): void {
    if (revision > this.#progress) this.#progress = revision;
  }

  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#onReady();
  }
}

/** True when an object belongs to a selection. */
export function isSelected(selection: Selection, object: StoredObject): boolean {
  return object.key.startsWith(selection.prefix) && (selection.filter === undefined || selection.filter(object));
}
