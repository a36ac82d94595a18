/**
 * The live watches of a store: each gets every new revision once, in order. Joining a watch that reads the past with the live ones is
 * one synchronous step, so that nothing falls between.
 */
import type { StoreEvent, StoreWatcher } from "#store/store.ts";

type Registration = { readonly prefix: string; readonly watcher: StoreWatcher; seenRevision: number };

/** Fans events out to watchers. */
export class WatchHub {
  readonly #registrations = new Set<Registration>();

  /** Adds a watcher that has seen everything up to `seenRevision`. The returned function removes it and may be called twice. */
  join(prefix: string, seenRevision: number, watcher: StoreWatcher): () => void {
    const registration = { prefix, watcher, seenRevision };
    this.#registrations.add(registration);
    return () => void this.#registrations.delete(registration);
  }

  /** Tells all watchers of the revisions up to `revision`; those whose keys were not touched hear of progress only. */
  publish(events: readonly StoreEvent[], revision: number): void {
    for (const registration of this.#registrations) {
      if (registration.seenRevision >= revision) continue;
      registration.seenRevision = revision;
      deliver(registration.watcher, eventsWithPrefix(events, registration.prefix), revision);
    }
  }

  /** Ends all watches. */
  endAll(error: Error): void {
    const ended = [...this.#registrations];
    this.#registrations.clear();
    for (const { watcher } of ended) watcher.onEnd(error);
  }
}

/** The events whose key begins with `prefix`. */
export function eventsWithPrefix(events: readonly StoreEvent[], prefix: string): readonly StoreEvent[] {
  return prefix === "" ? events : events.filter((event) => event.key.startsWith(prefix));
}

/** Hands events to a watcher. One that throws has a bug: it is reported as uncaught, but the others still get theirs. */
export function deliver(watcher: StoreWatcher, events: readonly StoreEvent[], revision: number): void {
  try {
    watcher.onEvents(events, revision);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
