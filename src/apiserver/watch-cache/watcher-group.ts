/**
 * Watches that select the same: they share one queue, each with its own place in it, so that an event costs the cache as much for a thousand watches as for one, and the bytes that go out are put together once.
 */
import type { CacheEvent, OutgoingEvent } from "./cache-event.ts";
import type { Selection } from "./selection.ts";

/** About how much is put together at once: it waits in memory for each client that is behind. */
const MAX_BATCH_BYTES = 256 << 10;

/** What some events came to in one form. */
export type Batch = Buffer | Promise<Buffer>;

/** A form of events, by a name of its own. */
export type BatchForm = { readonly key: string; readonly encode: (events: readonly OutgoingEvent[]) => Batch };

/** One watch in a group. */
export interface GroupMember {
  /** The number of the next event that it takes. */
  readonly next: number;
  /** True when it takes no more. */
  readonly isEnded: boolean;
  /** True when it holds on to changes up to this revision. */
  isBehind(revision: number): boolean;
  /** Called when there are events, at most once until it has taken them. */
  wake(): void;
  /** Called when it is too far behind. */
  end(): void;
}

/** Watches of one selection. */
export class WatcherGroup<W extends GroupMember = GroupMember> {
  readonly selection: Selection;
  readonly #members = new Set<W>();
  /** Those that have taken all there was, and wait to be told. */
  readonly #idle = new Set<W>();
  readonly #batches = new Map<string, { readonly batch: Batch; readonly count: number }>();
  #events: OutgoingEvent[] = [];
  /** The number of the first event in the queue. */
  #first = 0;
  #progress = 0;

  constructor(selection: Selection) {
    this.selection = selection;
  }

  get size(): number {
    return this.#members.size;
  }

  get members(): Iterable<W> {
    return this.#members;
  }

  /** The number that the next event will have. */
  get end(): number {
    return this.#first + this.#events.length;
  }

  /** The revision of the last change that was offered. */
  get progress(): number {
    return this.#progress;
  }

  add(watcher: W): void {
    this.#members.add(watcher);
    this.#idle.add(watcher);
  }

  /** False when it was not one of the group's. */
  remove(watcher: W): boolean {
    this.#idle.delete(watcher);
    const isMember = this.#members.delete(watcher);
    this.#dropTaken();
    return isMember;
  }

  /** Called by the cache. */
  offer(event: CacheEvent): void {
    this.#progress = event.revision;
    if (!event.key.startsWith(this.selection.prefix)) return;
    const outgoing = event.seenThrough(this.selection.filter);
    if (outgoing === undefined) return;
    this.#events.push(outgoing);
    this.#batches.clear();
    this.#wake();
  }

  /** The event of a number, when it has happened. */
  at(number: number): OutgoingEvent | undefined {
    return this.#events[number - this.#first];
  }

  /** The events from number `from` on, as many as `maxBytes` of objects allow but at least one. Who has taken all is told when more come. */
  take(watcher: W, from: number, maxBytes: number = Infinity): readonly OutgoingEvent[] {
    const start = from - this.#first;
    const taken = this.#events.slice(start, start + countWithin(this.#events, start, maxBytes));
    if (from + taken.length === this.end) this.#hasTakenAll(watcher);
    return taken;
  }

  /** The same, put together by `encode` for the first watcher that asks for these events in this form, and how many they are. */
  takeBatch(watcher: W, from: number, form: BatchForm): { readonly batch: Batch; readonly count: number } {
    const key = `${from} ${form.key}`;
    const there = this.#batches.get(key);
    if (there !== undefined) {
      if (from + there.count === this.end) this.#hasTakenAll(watcher);
      return there;
    }
    const events = this.take(watcher, from, MAX_BATCH_BYTES);
    const made = { batch: form.encode(events), count: events.length };
    if (this.#idle.size < this.#members.size) this.#batches.set(key, made);
    return made;
  }

  /** Ends those that have not taken what happened up to a revision, and drops what the others have taken. */
  trim(revision: number): void {
    let keep = this.end;
    for (const watcher of this.#members) {
      if (!watcher.isEnded && watcher.isBehind(revision)) watcher.end();
      else if (!watcher.isEnded) keep = Math.min(keep, watcher.next);
    }
    this.#events.splice(0, keep - this.#first);
    this.#first = keep;
  }

  #hasTakenAll(watcher: W): void {
    this.#idle.add(watcher);
    this.#dropTaken();
  }

  // When all have taken all, nothing is kept.
  #dropTaken(): void {
    if (this.#idle.size < this.#members.size) return;
    this.#first = this.end;
    this.#events = [];
    this.#batches.clear();
  }

  // Those that are told take later: while they are called the set stands still.
  #wake(): void {
    if (this.#idle.size === 0) return;
    const idle = [...this.#idle];
    this.#idle.clear();
    for (const watcher of idle) watcher.wake();
  }
}

/** How many events from `start` on come to about `maxBytes`; at least one where there is one. */
export function countWithin(events: readonly OutgoingEvent[], start: number, maxBytes: number): number {
  if (maxBytes === Infinity) return Math.max(0, events.length - start);
  let end = start;
  for (let bytes = 0; end < events.length && bytes < maxBytes; end++)
    bytes += (events[end] as OutgoingEvent).object.bytes.length;
  return end - start;
}
