/**
 * Events that were just read, for all subscriptions that are about to read the same: each is decoded once. Bounded over all topics, so that many idle ones cost nothing.
 */
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import type { EventLog } from "./event-log.ts";
import { eventFromBytes } from "./event-bytes.ts";

/** An event in its place. */
export type PlacedEvent = {
  readonly position: number;
  readonly timeMs: number;
  /** Undefined when what is kept there is no event. */
  readonly event: CloudEvent | undefined;
};

/** Events that follow each other. */
export type EventPart = { readonly events: readonly PlacedEvent[]; readonly next: number };

type Entry = { readonly log: EventLog; readonly from: number; readonly part: Promise<EventPart>; next: number };

const mostParts = 16;

/** Parts of all topics. */
export class PartCache {
  readonly #entries: Entry[] = [];

  /** Events from the position on, as many as come at once. */
  async read(log: EventLog, from: number): Promise<EventPart> {
    const known = this.#entries.find((entry) => entry.log === log && entry.from <= from && from < entry.next);
    const part = await (known ?? this.#load(log, from)).part;
    return known && known.from < from ? tail(part, from) : part;
  }

  /** Forgets what is of this log. */
  forget(log: EventLog): void {
    for (let at = this.#entries.length - 1; at >= 0; at--)
      if (this.#entries[at]?.log === log) this.#entries.splice(at, 1);
  }

  #load(log: EventLog, from: number): Entry {
    // Until it is there, those who want exactly this wait for it.
    const entry: Entry = { log, from, part: readPart(log, from), next: from + 1 };
    this.#entries.push(entry);
    if (this.#entries.length > mostParts) this.#entries.shift();
    entry.part.then(
      (part) => (part.events.length === 0 ? this.#drop(entry) : (entry.next = part.next)),
      () => this.#drop(entry),
    );
    return entry;
  }

  #drop(entry: Entry): void {
    const at = this.#entries.indexOf(entry);
    if (at >= 0) this.#entries.splice(at, 1);
  }
}

async function readPart(log: EventLog, from: number): Promise<EventPart> {
  const { records, next } = await log.read(from);
  const events = records.map(({ position, timeMs, payload }) => ({
    position,
    timeMs,
    event: decode(payload),
  }));
  return { events, next };
}

function decode(payload: Uint8Array): CloudEvent | undefined {
  try {
    return eventFromBytes(payload);
  } catch {
    return undefined;
  }
}

function tail({ events, next }: EventPart, from: number): EventPart {
  const at = events.findIndex(({ position }) => position >= from);
  return { events: at < 0 ? [] : events.slice(at), next };
}
