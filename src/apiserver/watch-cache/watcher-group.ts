/**
 * Watches that select the same: they share one queue, each with its own place in it, so that an event costs the cache as much for a thousand watches as for one, and the bytes that go out are put together once.
 */
import type { CacheEvent, OutgoingEvent } from "./cache-event.ts";
import type { Selection } from "./selection.ts";

/** Most events, and bytes of objects, that may wait for the slowest of a group. */
const MAX_QUEUED = 20_000;
const MAX_QUEUED_BYTES = 32 << 20;
/** How many events come between two looks at who is slowest. */
const TRIM_PERIOD = 1024;

/** What some events came to in one form. */
export type Batch = Buffer | Promise<Buffer>;

/** One watch in a group. */
export interface GroupMember {
  /** The number of the next event that it takes. */
  readonly next: number;
  /** True when it takes no more. */
  readonly isEnded: boolean;
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
  readonly #batches = new Map<string, Batch>();
  #events: OutgoingEvent[] = [];
  /** The number of the first event in the queue. */
  #first = 0;
  #bytes = 0;
  #trimAt = TRIM_PERIOD;
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
    return this.#members.delete(watcher);
  }

  /** Called by the cache. */
  offer(event: CacheEvent): void {
    this.#progress = event.revision;
    if (!event.key.startsWith(this.selection.prefix)) return;
    const outgoing = event.seenThrough(this.selection.filter);
    if (outgoing === undefined) return;
    this.#events.push(outgoing);
    this.#bytes += outgoing.object.bytes.length;
    if (this.#events.length > this.#trimAt || this.#bytes > MAX_QUEUED_BYTES) this.#trim();
    this.#batches.clear();
    this.#wake();
  }

  /** The event of a number, when it has happened. */
  at(number: number): OutgoingEvent | undefined {
    return this.#events[number - this.#first];
  }

  /** The events from number `from` on, all that there are. The watcher is told when more come. */
  take(watcher: W, from: number): OutgoingEvent[] {
    this.#idle.add(watcher);
    return this.#events.slice(from - this.#first);
  }

  /** The same, put together by `encode` for the first watcher that asks for these events in this form. */
  takeBatch(
    watcher: W,
    from: number,
    form: { readonly key: string; readonly encode: (events: readonly OutgoingEvent[]) => Batch },
  ): Batch {
    this.#idle.add(watcher);
    const key = `${from} ${form.key}`;
    const there = this.#batches.get(key);
    if (there !== undefined) return there;
    const made = form.encode(this.#events.slice(from - this.#first));
    this.#batches.set(key, made);
    return made;
  }

  // Those that are told take later: while they are called the set stands still.
  #wake(): void {
    if (this.#idle.size === 0) return;
    const idle = [...this.#idle];
    this.#idle.clear();
    for (const watcher of idle) watcher.wake();
  }

  // Drops what all have taken, and ends those that are too far behind.
  #trim(): void {
    let keep = this.end;
    const oldest = this.#oldestAllowed();
    for (const watcher of this.#members) {
      if (watcher.isEnded || watcher.next >= keep) continue;
      if (watcher.next < oldest) watcher.end();
      else keep = watcher.next;
    }
    const dropped = this.#events.splice(0, keep - this.#first);
    this.#first = keep;
    for (const { object } of dropped) this.#bytes -= object.bytes.length;
    this.#trimAt = this.#events.length + TRIM_PERIOD;
  }

  #oldestAllowed(): number {
    let bytes = this.#bytes;
    let index = Math.max(0, this.#events.length - MAX_QUEUED);
    for (let i = 0; i < index; i++) bytes -= (this.#events[i] as OutgoingEvent).object.bytes.length;
    while (bytes > MAX_QUEUED_BYTES / 2 && index < this.#events.length) {
      bytes -= (this.#events[index++] as OutgoingEvent).object.bytes.length;
    }
    return this.#first + index;
  }
}
