/**
 * Short words for the store's suite: writing, reading and watching with strings for values.
 */
import type { RangeRequest, Store, StoreEntry, StoreEvent, WriteOperation, WriteResult } from "#store/store.ts";

/** Makes an empty store for one test, and what frees it afterwards (after `close`, which it must bear again). */
export type StoreFactory = () => Promise<{ readonly store: Store; readonly dispose: () => Promise<void> }>;

/** Text as bytes. */
export function bytes(text: string): Uint8Array {
  return Buffer.from(text);
}

/** Bytes as text. */
export function text(value: Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : Buffer.from(value).toString();
}

/** A put without or with a condition. */
export function put(key: string, value: string, expectedRevision?: number): WriteOperation {
  return { key, value: bytes(value), expectedRevision };
}

/** A delete without or with a condition. */
export function remove(key: string, expectedRevision?: number): WriteOperation {
  return { key, value: undefined, expectedRevision };
}

/** Writes what must succeed, and gives the revision. */
export async function commit(store: Store, ...operations: readonly WriteOperation[]): Promise<number> {
  const result = await store.write(operations);
  if (!result.ok) throw new Error(`the write was refused because of ${result.key}`);
  return result.revision;
}

/** Writes what must be refused. */
export async function refuse(
  store: Store,
  ...operations: readonly WriteOperation[]
): Promise<WriteResult & { ok: false }> {
  const result = await store.write(operations);
  if (result.ok) throw new Error(`the write was not refused, but became revision ${result.revision}`);
  return result;
}

/** An entry in one line: `key=value@createRevision/modRevision`. */
export function showEntry(entry: StoreEntry | undefined): string | undefined {
  return entry && `${entry.key}=${text(entry.value)}@${entry.createRevision}/${entry.modRevision}`;
}

/** The entries of a range, each in one line. */
export async function rangeLines(store: Store, request: RangeRequest): Promise<readonly (string | undefined)[]> {
  return (await store.range(request)).entries.map(showEntry);
}

/** An event in one line: `5 put key=value was=old from=2`. */
export function showEvent(event: StoreEvent): string {
  const was = event.previousValue === undefined ? "" : ` was=${text(event.previousValue)}`;
  return `${event.revision} ${event.type} ${event.key}=${text(event.value)}${was} from=${event.createRevision}`;
}

/** Remembers all that a watch gives. */
export class Recorder {
  readonly events: StoreEvent[] = [];
  readonly endings: Error[] = [];
  revision = 0;
  #waiting: { readonly isDone: () => boolean; readonly resolve: () => void }[] = [];

  onEvents(events: readonly StoreEvent[], revision: number): void {
    if (revision <= this.revision) throw new Error(`revision ${revision} came after ${this.revision}`);
    this.events.push(...events);
    this.revision = revision;
    this.#wake();
  }

  onEnd(error: Error): void {
    this.endings.push(error);
    this.#wake();
  }

  /** Each event in one line. */
  lines(): readonly string[] {
    return this.events.map(showEvent);
  }

  /** Resolves when the watch has seen this revision. Throws when it ended before. */
  async reached(revision: number): Promise<void> {
    await this.#until(() => this.revision >= revision || this.endings.length > 0);
    if (this.revision < revision) throw new Error(`the watch ended at ${this.revision}`, { cause: this.endings[0] });
  }

  /** Resolves when the watch ended. */
  async ended(): Promise<void> {
    await this.#until(() => this.endings.length > 0);
  }

  async #until(isDone: () => boolean): Promise<void> {
    if (isDone()) return;
    await new Promise<void>((resolve) => this.#waiting.push({ isDone, resolve }));
  }

  #wake(): void {
    const ready = this.#waiting.filter(({ isDone }) => isDone());
    this.#waiting = this.#waiting.filter((waiter) => !ready.includes(waiter));
    for (const { resolve } of ready) resolve();
  }
}
