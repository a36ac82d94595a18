/**
 * Changes as watches see them. One change of the store becomes ADDED, MODIFIED or DELETED, depending on which side of a watch's selector the object stood before and after; each
 * of these forms is made once and shared by all watches, with whatever encodings of it were made.
 */
import type { StoredObject } from "#apiserver/storage/stored-object.ts";

export type WatchEventType = "ADDED" | "MODIFIED" | "DELETED";

/** One event for watches. `object` carries the event's revision as its resourceVersion. */
export type OutgoingEvent = {
  readonly type: WatchEventType;
  readonly object: StoredObject;
  /** By encoding: the bytes that were sent to the first watch that asked for it. */
  readonly encodings: Map<string, Buffer>;
};

/** Tells whether a watch's selectors take an object. */
export type ObjectFilter = (object: StoredObject) => boolean;

/** One change of one object: `current` is absent for a delete, `previous` for a create. */
export class CacheEvent {
  readonly revision: number;
  readonly key: string;
  readonly current: StoredObject | undefined;
  readonly previous: StoredObject | undefined;
  #forms: Partial<Record<WatchEventType, OutgoingEvent>> | undefined;

  constructor(init: {
    readonly revision: number;
    readonly key: string;
    readonly current: StoredObject | undefined;
    readonly previous: StoredObject | undefined;
  }) {
    this.revision = init.revision;
    this.key = init.key;
    this.current = init.current;
    this.previous = init.previous;
  }

  /** What a watch with this filter is told, or undefined for nothing. As the watch cache of upstream: leaving the selector looks like a delete, with the old state. */
  seenThrough(filter: ObjectFilter | undefined): OutgoingEvent | undefined {
    const isIn = this.current !== undefined && (filter === undefined || filter(this.current));
    const wasIn = this.previous !== undefined && (filter === undefined || filter(this.previous));
    if (isIn) return this.#form(wasIn ? "MODIFIED" : "ADDED", this.current as StoredObject);
    return wasIn ? this.#form("DELETED", this.previous as StoredObject) : undefined;
  }

  /** Forgets the forms: the watches that were told have them. */
  dropForms(): void {
    this.#forms = undefined;
  }

  #form(type: WatchEventType, object: StoredObject): OutgoingEvent {
    this.#forms ??= {};
    return (this.#forms[type] ??= {
      type,
      object: type === "DELETED" ? object.atRevision(this.revision) : object,
      encodings: new Map(),
    });
  }
}
